"""Words and vectors together by reciprocal rank (Cormack et al. 2009): score = sum over both of 1 / (60 + rank), no scale to tune."""
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from luthier.retrieval import bm25, dense
from luthier.retrieval.passages import Hit

FLAT = 60
"""The constant of the paper: how little the very first ranks differ."""
DEPTH = 100
"""Ranks that count."""


def build(texts: Sequence[str], *, embed: Callable[[Sequence[str]], np.ndarray], folder: Path | None = None, key: str = "", **_) -> Callable[[Sequence[str], int], list[list[Hit]]]:
    """A search over these texts by both."""
    ways = [bm25.build(texts), dense.build(texts, embed=embed, folder=folder, key=key)]

    def search(questions: Sequence[str], count: int) -> list[list[Hit]]:
        rankings = [way(questions, min(len(texts), max(DEPTH, count))) for way in ways]
        return [fused([ranking[at] for ranking in rankings], count) for at in range(len(questions))]

    return search


def fused(rankings: Sequence[Sequence[Hit]], count: int) -> list[Hit]:
    """Hits of several rankings as one; what a ranking does not find adds nothing."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, hit in enumerate((hit for hit in ranking if hit.score > 0), 1):
            scores[hit.number] = scores.get(hit.number, 0.0) + 1 / (FLAT + rank)
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Hit(number, score) for number, score in ordered[:count]]
