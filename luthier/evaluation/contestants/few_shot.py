"""The base, shown similar training rows in its prompt: what a good prompt would give without any training.

Retrieved examples (Liu et al. 2022, arXiv:2101.06804), from training rows only.
"""
from collections.abc import Callable, Sequence
from time import perf_counter

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import pairs_of, prompt_of, timed
from luthier.evaluation.contestants.similarity import TextVectors
from luthier.tasks.answers import Answer

MOST_SHOTS = 32
"""Examples offered where the recipe says auto; the prompt takes as many of them as fit."""


def make(
    base: Callable[[Sequence[Record], list[list[Record]]], list[Answer]], train: Sequence[Record], shots: int | str = "auto"
) -> Contestant:
    """Around `respond(records, shots)`; shots hold, per record, training rows with the most similar first."""
    started = perf_counter()
    usable = [record for record in train if pairs_of(record) and prompt_of(record).strip()]
    count = MOST_SHOTS if shots == "auto" else int(shots)
    vectors = TextVectors([prompt_of(record) for record in usable])

    def answer(records):
        rows_NK = vectors.most_similar([prompt_of(record) for record in records], count)
        return base(records, [[usable[row] for row in rows_K] for rows_K in rows_NK])

    return Contestant("few_shot", timed(answer), f"at most {count} examples", perf_counter() - started)
