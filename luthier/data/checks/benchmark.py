"""D405: rows that stand in a benchmark file which the user names: word for word, or by a run of 13 words (the measure of GPT-3's authors)."""
from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from luthier.data.columns import SEGMENTS, Batch, powers, scatter, words_of
from luthier.data.seen import Found, Seen, plural, rows

RUN = 13
SHORTEST = 6
"""Texts of fewer words are too common to be told by themselves."""


class Benchmark:
    """Holds the hashes of a benchmark's texts; rows stream by."""

    def __init__(self, name: str, texts: Iterable[str]):
        self.name = name
        runs, wholes = [], []
        for text in texts:
            found = words_of(text.lower() + "\0").hash_W
            if len(found) >= RUN:
                runs.append(runs_of(found))
            elif len(found) >= SHORTEST:
                wholes.append(whole_of(found))
        self.runs = np.unique(np.concatenate(runs)) if runs else np.zeros(0, dtype=np.uint64)
        self.wholes = np.array(sorted(set(wholes)), dtype=np.uint64)
        self.rows = array("q")

    def see(self, batch: Batch) -> None:
        words = batch.words
        owner_W = words.row_W * SEGMENTS + words.segment_W
        if len(words.hash_W) >= RUN and len(self.runs):
            inside = owner_W[: 1 - RUN] == owner_W[RUN - 1 :]
            hit = np.isin(runs_of(words.hash_W)[inside], self.runs)
            self.rows.extend((np.unique(words.row_W[: 1 - RUN][inside][hit]) + batch.first).tolist())
        bounds = np.flatnonzero(np.diff(owner_W, prepend=-1, append=-1))
        for start, end in zip(bounds[:-1], bounds[1:]) if len(self.wholes) else ():
            if SHORTEST <= end - start < RUN and np.uint64(whole_of(words.hash_W[start:end])) in self.wholes:
                self.rows.append(int(words.row_W[start]) + batch.first)

    def report(self, seen: Seen) -> Iterator[Found]:
        if len(found := rows(self.rows)):
            yield Found("D405", "warning", f"{plural(len(found))} ({seen.counted(found)}) share{'s' * (len(found) == 1)} a whole text or {RUN} words in a row with {self.name}", found, "a score on that benchmark then says nothing: leave these rows out", fix="benchmark")


def runs_of(hash_W: np.ndarray) -> np.ndarray:
    """A hash of every run of 13 words."""
    weight, _ = powers(RUN)
    total = np.zeros(len(hash_W) - RUN + 1, dtype=np.uint64)
    for at in range(RUN):
        total += hash_W[at : len(hash_W) - RUN + 1 + at] * weight[at]
    return scatter(total)


def whole_of(hash_W: np.ndarray) -> int:
    weight, _ = powers(len(hash_W))
    return int(scatter(np.array([(hash_W * weight).sum(dtype=np.uint64)], dtype=np.uint64))[0])
