"""The base, shown training rows in its prompt: what good examples would give without any training.

Which rows: the most similar (Liu et al. 2022, arXiv:2101.06804), the same random ones for everyone (Brown et al. 2020), or similar ones that
differ among themselves (maximal marginal relevance, Carbonell and Goldstein 1998). How many: a number, as many as fit, or the best on
validation rows. From training rows only.
"""
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import pairs_of, prompt_of, timed
from luthier.evaluation.contestants.similarity import TextVectors
from luthier.tasks.answers import Answer

MOST_SHOTS = 32
"""Examples offered where the recipe says auto; the prompt takes as many of them as fit."""
TRIED = (1, 2, 4, 8, 16)
"""Numbers of examples that `validation` tries."""
POOL = 4
"""Similar rows looked at for each one taken, where they are to differ."""


def make(
    base: Callable[[Sequence[Record], list[list[Record]]], list[Answer]], train: Sequence[Record], shots: int | str = "auto", shots_by: str = "similar",
    validation: Sequence[Record] = (), score: Callable[[Sequence[Answer], Sequence[Record]], float] | None = None, seed: int = 0,
) -> Contestant:
    """Around `respond(records, shots)`; shots hold, per record, training rows with the one that matters most first."""
    started = perf_counter()
    usable = [record for record in train if pairs_of(record) and prompt_of(record).strip()]
    pick = WAYS[shots_by](usable, seed)

    def answer(records: Sequence[Record], count: int) -> list[Answer]:
        return base(records, [[usable[row] for row in rows_K] for rows_K in pick([prompt_of(record) for record in records], count)])

    count, how = MOST_SHOTS if shots in ("auto", "validation") else int(shots), ""
    if shots == "validation" and validation and score:
        figures = {number: score(answer(validation, number), validation) for number in TRIED}
        count = max(figures, key=lambda number: (figures[number], -number))
        how = f", the best number on {len(validation):,} validation rows"
    note = f"at most {count} {shots_by} examples{how}"
    return Contestant("few_shot", timed(lambda records: answer(records, count)), note, perf_counter() - started)


Pick = Callable[[Sequence[str], int], Sequence[Sequence[int]]]
"""From questions and a number to that many rows for each."""


def similar(usable: Sequence[Record], seed: int) -> Pick:
    """The nearest by TF-IDF."""
    return TextVectors([prompt_of(record) for record in usable]).most_similar


def at_random(usable: Sequence[Record], seed: int) -> Pick:
    """The same rows for every question, drawn once."""
    order = np.random.default_rng((seed, 2)).permutation(len(usable))
    return lambda questions, count: [order[:count]] * len(questions)


def diverse(usable: Sequence[Record], seed: int) -> Pick:
    """From the nearest, one after the other: as near to the question as it can be and as far from those taken already."""
    vectors = TextVectors([prompt_of(record) for record in usable])

    def pick(questions: Sequence[str], count: int) -> list[list[int]]:
        near_NK = vectors.most_similar(questions, POOL * count)
        asked_NV = vectors(questions)
        return [spread(near_K, (asked_NV[at] @ vectors.train_NV[near_K].T).toarray()[0], (vectors.train_NV[near_K] @ vectors.train_NV[near_K].T).toarray(), count) for at, near_K in enumerate(near_NK)]

    return pick


def spread(near_K: np.ndarray, likeness_K: np.ndarray, among_KK: np.ndarray, count: int) -> list[int]:
    """`count` of the candidates by maximal marginal relevance with equal weights."""
    taken: list[int] = []
    while len(taken) < min(count, len(near_K)):
        known_K = among_KK[:, taken].max(axis=1) if taken else np.zeros(len(near_K))
        worth_K = likeness_K - known_K
        worth_K[taken] = -np.inf
        taken.append(int(worth_K.argmax()))
    return [int(near_K[at]) for at in taken]


WAYS: dict[str, Callable[[Sequence[Record], int], Pick]] = {"similar": similar, "random": at_random, "diverse": diverse}
