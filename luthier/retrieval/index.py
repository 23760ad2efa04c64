"""Passages and the ways to search them.

`open_index(passages, settings, embed=..., folder=...)` gives something that is asked `search(questions, count)`. A new way to search is one
file and one line in RETRIEVERS.
"""
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from luthier.errors import RecipeError
from luthier.retrieval import bm25, dense, hybrid
from luthier.retrieval.passages import Hit, Passage
from luthier.retrieval.settings import RetrievalSettings

RETRIEVERS = {"bm25": bm25.build, "dense": dense.build, "hybrid": hybrid.build}
NEEDS_VECTORS = ("dense", "hybrid")


class Index:
    """Passages and a way to search them."""

    def __init__(self, passages: Sequence[Passage], search: Callable[[Sequence[str], int], list[list[Hit]]]):
        self.passages, self._search = list(passages), search

    def search(self, questions: Sequence[str], count: int, *, without: Sequence[object | None] = ()) -> list[list[Passage]]:
        """The best passages for each question, best first. `without` names, per question, an origin whose passages must not come: a training row finds
        itself first, and its own answer must not stand in its prompt."""
        if not self.passages or not questions:
            return [[] for _ in questions]
        shut = list(without) or [None] * len(questions)
        most = max((sum(passage.origin == origin for passage in self.passages) for origin in set(shut) if origin is not None), default=0)
        hits = self._search(questions, min(len(self.passages), count + most))
        found = [[self.passages[hit.number] for hit in each if hit.score > 0] for each in hits]
        return [[passage for passage in each if origin is None or passage.origin != origin][:count] for each, origin in zip(found, shut, strict=True)]


def open_index(passages: Sequence[Passage], settings: RetrievalSettings, *, embed: Callable[[Sequence[str]], np.ndarray] | None = None, folder: Path | None = None, key: str = "") -> Index:
    """An index over passages. `embed` turns texts into vectors [N, D]; vectors are kept in `folder` and used again while passages and `key` (the
    encoder) are the same. RecipeError where the way to search needs an encoder and there is none."""
    if settings.by in NEEDS_VECTORS and embed is None:
        raise RecipeError(f"retrieval.by={settings.by} needs vectors, and there is no encoder", code="R165", field="retrieval.by", hint="name one in retrieval.encoder, or take retrieval.by=bm25")
    texts = [passage.text for passage in passages]
    return Index(passages, RETRIEVERS[settings.by](texts, embed=embed, folder=folder, key=key) if texts else lambda questions, count: [[] for _ in questions])
