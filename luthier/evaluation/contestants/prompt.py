"""The base with an instruction: several are written, the best on validation rows is taken, and the test rows see that one only."""
from collections.abc import Callable, Sequence
from time import perf_counter

from luthier.data.records import Labelled, Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.context import instructed
from luthier.evaluation.contestants.inputs import timed
from luthier.tasks.answers import Answer

FOR_ANSWERS = (
    "Answer the question in one or two short sentences.",
    "You answer for the business that is asked. Be polite and exact; name every name and number that matters, and invent none.",
    "Read the question carefully, repeat the facts in it that the answer needs, and answer it.",
)
FOR_LABELS = (
    "Name the one category that this message belongs to.",
    "What does the writer want? Answer with the category, and with nothing else.",
    "Classify this text.",
)


def variants(record: Record, instructions: Sequence[str] | str) -> list[str]:
    """The instructions to try: the user's, or the written ones for this kind of record."""
    if instructions != "auto":
        return list(instructions)
    return list(FOR_LABELS if isinstance(record, Labelled) else FOR_ANSWERS)


def make(
    base: Callable[[Sequence[Record], None], list[Answer]], validation: Sequence[Record], score: Callable[[Sequence[Answer], Sequence[Record]], float],
    lengths: Callable[[Sequence[Record]], Sequence[int]], room: int, instructions: Sequence[str] | str = "auto",
) -> Contestant:
    """Around `respond(records, shots)`. `score` is a figure of which more is better; without validation rows the first instruction is taken, and that is said."""
    started = perf_counter()
    tried = variants(validation[0], instructions) if validation else list(FOR_ANSWERS[:1] if instructions == "auto" else instructions[:1])
    figures = [score(base(instructed(validation, text, lengths, room), None), validation) for text in tried] if validation else [0.0]
    chosen = tried[max(range(len(tried)), key=lambda index: (figures[index], -index))]
    how = f"the best of {len(tried)} on {len(validation):,} validation rows" if validation else "the first one: there are no validation rows to choose on"
    answer = timed(lambda records: base(instructed(records, chosen, lengths, room), None))
    return Contestant("prompt", answer, f"{how}: {chosen}", perf_counter() - started)
