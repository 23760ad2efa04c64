"""D504, D512: how much the rows differ: distinct phrases, the largest template, words that all of them begin or end with."""
from collections import Counter
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import ANSWER, Batch, Lookup, scatter
from luthier.data.records import Text
from luthier.data.seen import Found, Seen, plural, rows

GRAM = 3
BITS = 23
SHARE_OF_TEMPLATE = 0.3
FIXED = 0.95
FEWEST_ROWS = 100
COMMON_WORDS = 2000
LEARNED_ROWS = 20_000
"""Rows from which the common words are learned; a template keeps those and lets all others vary."""


class Diversity:
    """A warning where one template makes up much of the rows, notices on words that begin or end nearly all; and figures."""

    def __init__(self):
        self.bitmap = np.zeros(1 << BITS, dtype=bool)
        self.grams = 0
        self.common: Lookup | None = None
        self.held: list[tuple] = []
        self.templates: list[np.ndarray] = []
        self.ends: dict[tuple[str, int], Counter] = {(side, segment): Counter() for side in ("begin", "end") for segment in (0, ANSWER)}
        self.filled = [0, 0]

    def see(self, batch: Batch) -> None:
        words = batch.words
        if len(words.hash_W) >= GRAM:
            hashes = words.hash_W
            gram = (hashes[:-2] * np.uint64(0x9E3779B97F4A7C15) + hashes[1:-1]) * np.uint64(0x9E3779B97F4A7C15) + hashes[2:]
            within = words.row_W[:-2] == words.row_W[2:]
            self.grams += int(within.sum())
            self.bitmap[gram[within] >> np.uint64(64 - BITS)] = True
        self.note_ends(batch)
        hash_W, bounds_R = batch.input_bounds
        if self.common is None:
            self.held.append((hash_W, bounds_R))
            if sum(len(bounds) for _, bounds in self.held) > LEARNED_ROWS:
                self.learn()
        else:
            self.templates.append(templates(hash_W, bounds_R, self.common))

    def note_ends(self, batch: Batch) -> None:
        """The first and last characters of what is asked and of what is learned."""
        for segment in (0, ANSWER):
            texts = [one.segments[segment] for one in batch.facets if one.segments[segment]]
            self.filled[segment] += len(texts)
            for side, cut in (("begin", slice(0, 16)), ("end", slice(-16, None))):
                # counted by their first characters; only what may be on nearly all rows is kept
                common = Counter([text[cut] for text in texts]).most_common(3)
                counter = self.ends[side, segment]
                for text, count in common:
                    counter[text] += count

    def learn(self) -> None:
        """Which words are common, from the rows held so far; then their templates."""
        values, counts = np.unique(np.concatenate([hash_W for hash_W, _ in self.held] or [np.zeros(0, dtype=np.uint64)]), return_counts=True)
        least = max(3, sum(len(bounds) for _, bounds in self.held) * 0.002)
        keep = np.argsort(-counts, kind="stable")[:COMMON_WORDS]
        keep = keep[counts[keep] >= least]
        self.common = Lookup(values[keep], np.arange(len(keep)))
        self.templates += [templates(hash_W, bounds_R, self.common) for hash_W, bounds_R in self.held]
        self.held = []

    def distinct(self) -> float:
        """Distinct runs of three words over all runs (estimated from a bitmap by linear counting)."""
        if not self.grams:
            return 0.0
        unset = 1 - self.bitmap.mean()
        return min(1.0, -np.log(max(unset, 1e-9)) * (1 << BITS) / self.grams)

    def report(self, seen: Seen) -> Iterator[Found]:
        if self.common is None:
            self.learn()
        if len(seen) < FEWEST_ROWS:
            return
        template_N = np.concatenate(self.templates) if self.templates else np.zeros(0, dtype=np.uint64)
        kinds, inverse, counts = np.unique(template_N, return_inverse=True, return_counts=True)
        counts = np.where(kinds == 0, 0, counts)
        largest = int(np.argmax(counts))
        if counts[largest] > SHARE_OF_TEMPLATE * len(seen):
            found = rows(np.flatnonzero(inverse == largest))
            yield Found("D512", "warning", f"{plural(len(found))} ({len(found) / len(seen):.0%}) follow one template, {seen.where(int(found[0]))} the first", found, "a model learns the template; vary the wording, or leave some rows out")
        if seen.record is not Text:
            yield from self.fixed_ends()

    def fixed_ends(self) -> Iterator[Found]:
        for (side, segment), counter in self.ends.items():
            text, count = max(counter.items(), key=lambda item: item[1], default=("", 0))
            if count > FIXED * max(self.filled[segment], FEWEST_ROWS) and len(text.strip()) > 8:
                what = "answers" if segment == ANSWER else "inputs"
                yield Found("D504", "info", f"{count:,} of {self.filled[segment]:,} {what} {side} with the same characters: \u201c{text}\u201d", count=count, hint="fine if use has them too; else the model waits for words that never come")


def templates(hash_W: np.ndarray, bounds_R: np.ndarray, common: Lookup) -> np.ndarray:
    """A hash of each row's common words in order, runs of others as one gap; 0 for rows of fewer than three common words."""
    kept = np.zeros(len(hash_W), dtype=bool)
    kept[common.find(hash_W)[0]] = True
    row_W = np.repeat(np.arange(len(bounds_R) - 1), np.diff(bounds_R))
    masked = np.where(kept, hash_W, np.uint64(1))
    stays = np.ones(len(masked), dtype=bool)
    stays[1:] = kept[1:] | kept[:-1] | (row_W[1:] != row_W[:-1])
    row_K, masked = row_W[stays], masked[stays]
    start_R = np.searchsorted(row_K, np.arange(len(bounds_R)))
    rank = (np.arange(len(row_K)) - start_R[row_K]).astype(np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(scatter(masked + rank * np.uint64(0x9E3779B97F4A7C15)))])
    few = np.bincount(row_W[kept], minlength=len(bounds_R) - 1) < 3
    return np.where(few, 0, scatter(sums[start_R[1:]] - sums[start_R[:-1]])).astype(np.uint64)


