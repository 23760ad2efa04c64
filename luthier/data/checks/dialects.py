"""D315: varieties of one language (British and American English ...), told by spellings and words that only one of them has, and labels that go with a variety."""
from collections.abc import Iterator

import numpy as np

from luthier.data.checks.languages import languages_of, spoken
from luthier.data.checks.people import FEWEST, labels_beside
from luthier.data.columns import Batch, Lookup, hash_word
from luthier.data.lexicon import lexicon
from luthier.data.seen import Found, Seen

FEWEST_OF_EACH = 10
SHARE = 0.05
"""A second variety of fewer marked rows than this share is a slip, not a mixture."""


class Dialects:
    """A notice where a language is written in several varieties; a warning where one of them bears a label much more often."""

    def __init__(self):
        lists = lexicon("dialects")
        self.names, self.languages = list(lists["varieties"]), lists["languages"]
        entries = [(hash_word(word), at) for at, words in enumerate(lists["varieties"].values()) for word in words]
        self.lookup = Lookup(*zip(*entries))
        tongues = spoken().names
        self.english = tongues.index("en")
        self.tongue_of = np.array([next(tongues.index(language) for language, names in self.languages.items() if name in names) for name in self.names])
        self.rows: list[np.ndarray] = []
        self.kinds: list[np.ndarray] = []

    def see(self, batch: Batch) -> None:
        words = batch.words
        place, variety = self.lookup.find(words.hash_W)
        if not len(place):
            return
        both = np.unique(words.row_W[place] * len(self.names) + variety)
        row, variety = both // len(self.names), both % len(self.names)
        # `gray` in a German row says nothing about English
        tongue = languages_of(batch)[2][row]
        fits = (tongue == self.tongue_of[variety]) | ((tongue < 0) & (self.tongue_of[variety] == self.english))
        self.rows.append(row[fits] + batch.first)
        self.kinds.append(variety[fits].astype(np.int8))

    def slices(self) -> dict[str, np.ndarray]:
        """Variety -> the rows that show it."""
        rows_T, kind_T = (np.concatenate(part) if part else np.zeros(0, dtype=np.int64) for part in (self.rows, self.kinds))
        return {name: rows_T[kind_T == at] for at, name in enumerate(self.names) if (kind_T == at).any()}

    def report(self, seen: Seen) -> Iterator[Found]:
        slices = self.slices()
        for names in self.languages.values():
            present = {name: slices[name] for name in names if name in slices}
            total = sum(map(len, present.values()))
            mixed = {name: rows_N for name, rows_N in present.items() if len(rows_N) >= max(FEWEST_OF_EACH, SHARE * total)}
            if len(mixed) > 1:
                listed = ", ".join(f"{name} {len(rows_N):,}" for name, rows_N in sorted(mixed.items(), key=lambda item: -len(item[1])))
                yield Found("D315", "info", f"one language is written in several varieties, where it can be told: {listed} rows", count=total, hint="slices.json holds the rows of each; evaluation shows whether one is served worse")
        for name, rows_N in slices.items():
            for label, share, others, bearing in labels_beside(seen, rows_N) if len(rows_N) >= FEWEST else ():
                yield Found("D312", "warning", f"rows in {name} bear the label `{label}` in {share:.0%} of {len(rows_N):,} cases, all others in {others:.0%}", bearing, "the model may learn the writer instead of the matter; add rows of this variety with other labels", field="label")
