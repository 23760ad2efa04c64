"""What a record says, told apart into what is asked, what is learned and the rest: one function per record type."""
from collections.abc import Callable, Iterator

from luthier.data.columns import MOST_CHARACTERS, MOST_ROWS, Batch, Facets
from luthier.data.records import Conversation, Labelled, Tagged, Text

ROLE_SEGMENTS = {"user": 0, "assistant": 1}


def of_text(values: dict) -> Facets:
    return Facets((values["text"], "", ""))


def of_labelled(values: dict) -> Facets:
    return Facets((values["text"], "", ""), values["label"])


def of_conversation(values: dict) -> Facets:
    """Turns of the user are asked, turns of the assistant learned, all others the rest."""
    messages = values["messages"]
    if len(messages) == 2 and messages[0]["role"] == "user" and messages[1]["role"] == "assistant":
        return Facets((messages[0]["content"], messages[1]["content"], ""))
    parts: tuple[list, list, list] = ([], [], [])
    for message in messages:
        parts[ROLE_SEGMENTS.get(message["role"], 2)].append(message["content"])
    return Facets(("\n".join(parts[0]), "\n".join(parts[1]), "\n".join(parts[2])))


FACETS: dict[type, Callable[[dict], Facets]] = {Text: of_text, Labelled: of_labelled, Tagged: of_text, Conversation: of_conversation}


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
