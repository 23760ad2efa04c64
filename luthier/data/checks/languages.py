"""D502: the languages of the rows, told by script and by the commonest function words of seventeen languages."""
from array import array
from collections import Counter
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import Batch, Lookup, hash_word
from luthier.data.lexicon import lexicon
from luthier.data.seen import Found, Seen, plural, rows

FEW = 0.02
LEAST_WORDS = 6
UNKNOWN = -1


class Languages:
    """A notice with the shares; a warning where a few rows are in another language than nearly all others."""

    def __init__(self):
        functions = lexicon("functions")
        self.names = [*functions["languages"], *functions["scripts"]]
        self.spoken = len(functions["languages"])
        entries = [(hash_word(word), at) for at, words in enumerate(functions["languages"].values()) for word in words]
        shared = Counter(one for one, _ in entries)
        self.share = np.array([1 / shared[one] for one, _ in entries])
        self.language_E = np.array([at for _, at in entries])
        self.lookup = Lookup([one for one, _ in entries], np.arange(len(entries)))
        self.ranges = list(functions["scripts"].values())
        self.language = array("b")

    def see(self, batch: Batch) -> None:
        self.language.frombytes(self.of(batch).astype(np.int8).tobytes())

    def of(self, batch: Batch) -> np.ndarray:
        """The language of each row as an index into `names`; UNKNOWN where too little is said."""
        words = batch.words
        place, entry = self.lookup.find(words.hash_W)
        # a word of several languages speaks for each of them a little
        cells = words.row_W[place] * self.spoken + self.language_E[entry]
        count = np.bincount(cells, weights=self.share[entry], minlength=len(batch) * self.spoken).reshape(len(batch), self.spoken)
        total = np.bincount(words.row_W, minlength=len(batch))
        best = count.argmax(axis=1)
        top = count[np.arange(len(batch)), best]
        second = np.partition(count, -2, axis=1)[:, -2]
        sure = (total >= LEAST_WORDS) & (top >= 2.5) & (top > 1.6 * second) & (top >= 0.12 * total)
        language = np.where(sure, best, UNKNOWN)
        if not batch.blob.isascii():
            self.scripts(batch, language)
        return language

    def scripts(self, batch: Batch, language: np.ndarray) -> None:
        """Rows written mostly in a script of their own."""
        for at, one in enumerate(batch.facets):
            text = one.segments[0] + one.segments[1]
            if text.isascii():
                continue
            codes = np.frombuffer(text[:2000].encode("utf-32-le", "replace"), dtype=np.uint32)
            shares = [np.count_nonzero((codes >= low) & (codes <= high)) for low, high in self.ranges]
            best = int(np.argmax(shares))
            if shares[best] > 0.3 * len(codes):
                language[at] = self.spoken + best

    def shares(self) -> dict[str, int]:
        """Language -> rows, commonest first, those of unknown language left out."""
        found = np.frombuffer(self.language, dtype=np.int8)
        counts = np.bincount(found[found >= 0], minlength=len(self.names))
        return {self.names[at]: int(counts[at]) for at in np.argsort(-counts, kind="stable") if counts[at]}

    def report(self, seen: Seen) -> Iterator[Found]:
        shares = self.shares()
        known = sum(shares.values())
        if len(shares) < 2 or not known:
            return
        listed = ", ".join(f"{name} {count / known:.1%}" for name, count in list(shares.items())[:6])
        main, most = next(iter(shares.items()))
        found = np.frombuffer(self.language, dtype=np.int8)
        others = rows(np.flatnonzero((found >= 0) & (found != self.names.index(main))))
        if most >= (1 - FEW) * known and len(others) >= 3:
            why = {int(row): f"seems to be {self.names[found[row]]}" for row in others}
            yield Found("D502", "warning", f"{plural(len(others))} seem{'s' * (len(others) == 1)} to be in another language than the rest ({listed})", others, "a few rows of another language are mostly mistakes; leave them out, or add more of them", why=why, fix="languages")
        elif most < (1 - FEW) * known:
            yield Found("D502", "info", f"the rows are in several languages: {listed}", others, "evaluation shows each language as a slice", count=len(others))
