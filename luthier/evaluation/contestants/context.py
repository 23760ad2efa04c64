"""A record with something laid before its question: an instruction, or passages. Only what is asked changes; the answer wanted stays."""
import dataclasses
from collections.abc import Callable, Sequence

from luthier.data.records import Conversation, Labelled, Pair, Record
from luthier.errors import RecipeError

LEAD = "Use what these passages say where it helps."


def before(record: Record, text: str) -> Record:
    """The same record whose question is led by a text. In a conversation that is the user's turn before the answer asked for: every chat template takes it."""
    if isinstance(record, Labelled):
        return dataclasses.replace(record, text=f"{text}\n\n{record.text}")
    if isinstance(record, Pair):
        return dataclasses.replace(record, source=f"{text}\n\n{record.source}")
    if not isinstance(record, Conversation):
        raise RecipeError(f"a {record.kind} record asks nothing that a text could be laid before", code="R161", field="evaluation.contestants")
    answer = max(index for index, message in enumerate(record.messages) if message.role == "assistant" and message.weight > 0)
    asked = max((index for index in range(answer) if record.messages[index].role == "user"), default=None)
    if asked is None:
        raise RecipeError("a conversation without a user's turn has no question to lay a text before", code="R161", field="evaluation.contestants")
    messages = list(record.messages)
    messages[asked] = dataclasses.replace(messages[asked], content=f"{text}\n\n{messages[asked].content}")
    return dataclasses.replace(record, messages=tuple(messages))


def instructed(records: Sequence[Record], text: str, lengths: Callable[[Sequence[Record]], Sequence[int]], room: int) -> list[Record]:
    """Records led by an instruction; a question that fills the context by itself stays as it is."""
    made = [before(record, text) for record in records]
    return [led if length <= room else record for led, length, record in zip(made, lengths(made), records, strict=True)]


def laid(passages: Sequence[str]) -> str:
    """Passages as they stand in a prompt."""
    return "\n".join([LEAD, *(f"[{number}] {' '.join(text.split())}" for number, text in enumerate(passages, 1))])


SHORTEST = 8
"""Words below which a passage is no longer cut to fit."""


def with_passages(records: Sequence[Record], passages: Sequence[Sequence[str]], lengths: Callable[[Sequence[Record]], Sequence[int]], room: int) -> tuple[list[Record], list[int]]:
    """Records led by their passages, best first, as many as leave the prompt within `room` tokens; and how many each got.

    Where not even the best one fits whole, its beginning is laid, half and half again down to a few words.
    """
    shown = [list(each) for each in passages]
    made = [before(record, laid(each)) if each else record for record, each in zip(records, shown, strict=True)]
    waiting = [at for at, each in enumerate(shown) if each]
    while waiting:
        taken = lengths([made[at] for at in waiting])
        waiting = [at for at, length in zip(waiting, taken, strict=True) if length > room]
        for at in waiting:
            shown[at] = fewer(shown[at])
            made[at] = before(records[at], laid(shown[at])) if shown[at] else records[at]
        waiting = [at for at in waiting if shown[at]]
    return made, [len(each) for each in shown]


def fewer(passages: list[str]) -> list[str]:
    """One passage less; of the last one half; nothing where that would be a few words."""
    if len(passages) > 1:
        return passages[:-1]
    words = passages[0].split()
    return [" ".join(words[: len(words) // 2])] if len(words) >= 2 * SHORTEST else []
