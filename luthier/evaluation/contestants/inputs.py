"""What a record asks and what answer it holds, so that every simple contestant reads records the same way."""
from collections.abc import Callable, Sequence
from time import perf_counter

from luthier.data.records import Conversation, Labelled, MultiLabelled, Pair, Record, both_texts
from luthier.errors import RecipeError
from luthier.tasks.answers import Answer


def prompt_of(record: Record) -> str:
    """The text to answer: a labelled row's text, or everything said before the last learned assistant turn."""
    if isinstance(record, Labelled | MultiLabelled):
        return both_texts(record)
    return pairs_of(record)[-1][0] if pairs_of(record) else ""


def target_of(record: Record) -> str:
    """The answer wanted: the label, or the last learned assistant turn."""
    if isinstance(record, Labelled | MultiLabelled):
        return record.label
    return pairs_of(record)[-1][1] if pairs_of(record) else ""


def pairs_of(record: Record) -> list[tuple[str, str]]:
    """Every (prompt, answer) that a training row holds: one for a label, one per learned assistant turn of a conversation."""
    if isinstance(record, Labelled | MultiLabelled):
        return [(both_texts(record), record.label)]
    if isinstance(record, Pair):
        return [(record.source, record.target)]
    if not isinstance(record, Conversation):
        message = f"a {record.kind} record asks nothing, so only models can be compared on it"
        raise RecipeError(message, code="R161", field="evaluation.contestants")
    learned = [index for index, message in enumerate(record.messages) if message.role == "assistant" and message.weight > 0]
    return [(spoken(record.messages[:index]), record.messages[index].content) for index in learned]


def spoken(messages: Sequence) -> str:
    """What users and assistants said, one turn per line; the system message is the same for all and tells nothing apart."""
    return "\n".join(message.content for message in messages if message.role != "system")


def training_pairs(train: Sequence[Record]) -> list[tuple[str, str]]:
    """All pairs of the training rows; RecipeError where there is none to learn from."""
    pairs = [pair for record in train for pair in pairs_of(record) if pair[0].strip()]
    if not pairs:
        raise RecipeError("there are no training rows to compare with", code="R161", field="evaluation.contestants")
    return pairs


def answer_of(record: Record, text: str, probabilities: dict[str, float] | None = None) -> Answer:
    """An answer that is a label where the record has one."""
    return Answer(text=text, label=text if isinstance(record, Labelled | MultiLabelled) else None, probabilities=probabilities)


def timed(answer: Callable[[Sequence[Record]], list[Answer]]) -> Callable[[Sequence[Record]], list[Answer]]:
    """The same, with each answer's share of the wall time filled in where nobody measured it."""

    def answer_and_measure(records: Sequence[Record]) -> list[Answer]:
        started = perf_counter()
        answers = answer(records)
        share = (perf_counter() - started) / max(1, len(answers))
        for item in answers:
            item.seconds = item.seconds or share
        return answers

    return answer_and_measure
