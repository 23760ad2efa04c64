"""What a record says, told apart into what is asked, what is learned and the rest: one function per record type."""
from collections.abc import Callable, Iterator

from luthier.data.columns import MOST_CHARACTERS, MOST_ROWS, Batch, Facets
from luthier.data.records import JOINT, Conversation, Labelled, MultiLabelled, Pair, Preference, Prompt, Rated, Scored, Tagged, Text

ROLE_SEGMENTS = {"user": 0, "assistant": 1}


def of_text(values: dict) -> Facets:
    return Facets((values["text"], "", ""))


def both(values: dict) -> str:
    """One text, or two with the second below the first."""
    return f"{values['text']}\n\n{values['pair']}" if values.get("pair") else values["text"]


def of_labelled(values: dict) -> Facets:
    return Facets((both(values), "", ""), values["label"])


def of_labels(values: dict) -> Facets:
    """All labels are one: rows are alike where they share all of them."""
    return Facets((both(values), "", ""), JOINT.join(values["labels"]) or "none")


def of_scored(values: dict) -> Facets:
    return Facets((both(values), "", ""))


def of_pair(values: dict) -> Facets:
    """The source is asked, the target learned."""
    return Facets((values["source"], values["target"], ""))


def of_conversation(values: dict) -> Facets:
    """Turns of the user are asked, turns of the assistant learned, all others the rest."""
    messages = values["messages"]
    if len(messages) == 2 and messages[0]["role"] == "user" and messages[1]["role"] == "assistant":
        return Facets((messages[0]["content"], messages[1]["content"], ""))
    parts: tuple[list, list, list] = ([], [], [])
    for message in messages:
        parts[ROLE_SEGMENTS.get(message["role"], 2)].append(message["content"])
    return Facets(("\n".join(parts[0]), "\n".join(parts[1]), "\n".join(parts[2])))


def asked(values: dict) -> str:
    """All turns before the answer but the system's: earlier answers are context there, and belong to what is asked."""
    return "\n".join(message["content"] for message in values["messages"] if message["role"] != "system")


def rest(values: dict) -> list[str]:
    return [message["content"] for message in values["messages"] if message["role"] == "system"]


def of_preference(values: dict) -> Facets:
    """The answer that people liked is learned; the other one is looked at too, as the rest."""
    return Facets((asked(values), values["chosen"], "\n".join([*rest(values), values["rejected"]])))


def of_rated(values: dict) -> Facets:
    return Facets((asked(values), values["answer"], "\n".join(rest(values))))


def of_prompt(values: dict) -> Facets:
    """The right answer where it is known; what graders are given is the rest."""
    return Facets((asked(values), values["reference"] or "", "\n".join([*rest(values), *texts_in(values["item"])])))


FACETS: dict[type, Callable[[dict], Facets]] = {
    Text: of_text, Labelled: of_labelled, MultiLabelled: of_labels, Scored: of_scored, Tagged: of_text, Conversation: of_conversation, Pair: of_pair,
    Preference: of_preference, Rated: of_rated, Prompt: of_prompt,
}


def of_any(values: dict) -> Facets:
    """Of a record type without a function here: every text in it is asked, so that no check passes over it."""
    return Facets(("\n".join(texts_in({name: value for name, value in values.items() if name not in ("origin", "group", "label")})), "", ""))


def texts_in(value) -> Iterator[str]:
    """Every text inside a value of JSON's kinds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts_in(inner)


def batches(rows: Iterator[dict], kind: type | None, *, first: int, split: int) -> Iterator[Batch]:
    """Canonical rows gathered into batches of at most 4,096 rows and about half a million characters."""
    read = FACETS.get(kind, of_any)
    facets: list[Facets] = []
    held: list[dict] = []
    size = 0
    for values in rows:
        one = read(values)
        facets.append(one)
        held.append(values)
        size += len(one.segments[0]) + len(one.segments[1]) + len(one.segments[2]) + 3
        if len(facets) >= MOST_ROWS or size >= MOST_CHARACTERS:
            yield Batch(first, split, facets, held)
            first += len(facets)
            facets, held, size = [], [], 0
    if facets:
        yield Batch(first, split, facets, held)
