"""D502: the languages of the rows, told by script and by the commonest function words of seventeen languages.

What is asked and what is answered are judged apart where each says enough, else together, so that a translation has two languages and a stray answer stands out.
"""
from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np

from luthier.data.columns import ANSWER, INPUT, Batch, Lookup, hash_word
from luthier.data.lexicon import lexicon
from luthier.data.seen import Found, Seen, plural, rows

FEW = 0.02
LEAST_WORDS = 6
UNKNOWN = -1
SIDES = ("asked", "answered", "together")


@cache
def spoken() -> "Spoken":
    return Spoken()


def languages_of(batch: Batch) -> np.ndarray:
    """[3, R] the languages of a batch, found once however many checks ask."""
    if "languages" not in batch.shared:
        batch.shared["languages"] = spoken().of(batch)
    return batch.shared["languages"]


class Spoken:
    """The languages that are known, and how one is told."""

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

    def of(self, batch: Batch) -> np.ndarray:
        """[3, R] the language of what is asked, of what is answered and of both together, as an index into `names`; UNKNOWN where too little is said."""
        words, count = batch.words, len(batch)
        place, entry = self.lookup.find(words.hash_W)
        segment = words.segment_W[place].astype(np.int64)
        said = segment <= ANSWER
        place, entry, segment = place[said], entry[said], segment[said]
        # a word of several languages speaks for each of them a little
        cells = (segment * count + words.row_W[place]) * self.spoken + self.language_E[entry]
        count_SRL = np.bincount(cells, weights=self.share[entry], minlength=2 * count * self.spoken).reshape(2, count, self.spoken)
        mine = words.segment_W <= ANSWER
        total_SR = np.bincount(words.segment_W[mine].astype(np.int64) * count + words.row_W[mine], minlength=2 * count).reshape(2, count)
        found = np.stack([self.surest(count_SRL[INPUT], total_SR[INPUT]), self.surest(count_SRL[ANSWER], total_SR[ANSWER]), self.surest(count_SRL.sum(axis=0), total_SR.sum(axis=0))])
        if not batch.blob.isascii():
            self.scripts(batch, found)
        return found

    @staticmethod
    def surest(count_RL: np.ndarray, total_R: np.ndarray) -> np.ndarray:
        """The language that plainly leads."""
        at = np.arange(len(count_RL))
        best = count_RL.argmax(axis=1)
        top = count_RL[at, best]
        others = count_RL.copy()
        others[at, best] = 0
        sure = (total_R >= LEAST_WORDS) & (top >= 2.5) & (top > 1.6 * others.max(axis=1)) & (top >= 0.12 * total_R)
        return np.where(sure, best, UNKNOWN)

    def scripts(self, batch: Batch, language_3R: np.ndarray) -> None:
        """Texts written mostly in a script of their own."""
        for at, one in enumerate(batch.facets):
            for side in (INPUT, ANSWER):
                text = one.segments[side]
                if text.isascii():
                    continue
                codes = np.frombuffer(text[:2000].encode("utf-32-le", "replace"), dtype=np.uint32)
                shares = [np.count_nonzero((codes >= low) & (codes <= high)) for low, high in self.ranges]
                best = int(np.argmax(shares))
                if shares[best] > 0.3 * len(codes):
                    language_3R[side, at] = language_3R[2, at] = self.spoken + best


class Languages:
    """A notice with the shares; a warning where a few rows are in another language than nearly all others."""

    def __init__(self):
        self.names = spoken().names
        self.parts: list[np.ndarray] = []

    def see(self, batch: Batch) -> None:
        self.parts.append(languages_of(batch).astype(np.int8))

    def found(self) -> np.ndarray:
        return np.concatenate(self.parts, axis=1) if self.parts else np.full((3, 0), UNKNOWN, dtype=np.int8)

    def pairs(self) -> np.ndarray:
        """[2, N] the language in which each row asks and answers; that of both together where one says too little."""
        found = self.found()
        sides = np.where(found[:2] == UNKNOWN, found[1::-1], found[:2])
        return np.where(sides == UNKNOWN, found[2], sides)

    def slices(self, least: int = 2) -> dict[str, np.ndarray]:
        """`en`, or `en to de` -> its rows, commonest first; nothing where there are fewer than `least` kinds."""
        asked, answered = self.pairs().astype(np.int32)
        code_N = np.where(asked == UNKNOWN, UNKNOWN, asked * len(self.names) + answered)
        kinds, counts = np.unique(code_N[code_N != UNKNOWN], return_counts=True)
        name = lambda one, other: self.names[one] if one == other else f"{self.names[one]} to {self.names[other]}"
        ordered = sorted(((-count, name(*divmod(kind, len(self.names))), kind) for kind, count in zip(kinds.tolist(), counts.tolist())))
        return {words: np.flatnonzero(code_N == kind) for _, words, kind in ordered} if len(ordered) >= least else {}

    def shares(self) -> dict[str, int]:
        """Language -> rows, commonest first, those of unknown language left out."""
        return {name: len(rows_N) for name, rows_N in self.slices(least=1).items()}

    def strays(self) -> dict[int, str]:
        """Rows whose question or answer is in another language than most are, with what is told of them."""
        found, told = self.found(), {}
        mains = [int(np.bincount(side[side >= 0]).argmax()) if (side >= 0).any() else UNKNOWN for side in found]
        for side, main in enumerate(mains[:2]):
            what = "" if not (found[ANSWER] >= 0).any() else ("the question " if side == INPUT else "the answer ")
            for row in np.flatnonzero((found[side] != UNKNOWN) & (found[side] != main)).tolist():
                told.setdefault(row, f"{what}seems to be {self.names[found[side, row]]}")
        alone = (found[:2] == UNKNOWN).all(axis=0) & (found[2] != UNKNOWN) & ~np.isin(found[2], [main for main in mains if main != UNKNOWN])
        return told | {row: f"seems to be {self.names[found[2, row]]}" for row in np.flatnonzero(alone).tolist() if row not in told}

    def report(self, seen: Seen) -> Iterator[Found]:
        shares = self.shares()
        known = sum(shares.values())
        if len(shares) < 2 or not known:
            return
        listed = ", ".join(f"{name} {count / known:.1%}" for name, count in list(shares.items())[:6])
        why = self.strays()
        others = rows(why)
        if 3 <= len(others) <= FEW * known:
            yield Found("D502", "warning", f"{plural(len(others))} seem{'s' * (len(others) == 1)} to be in another language than the rest ({listed})", others, "a few rows of another language are mostly mistakes; leave them out, or add more of them", why=why, fix="languages")
        elif len(others) > FEW * known:
            yield Found("D502", "info", f"the rows are in several languages: {listed}", others, "slices.json holds the rows of each, and `luthier eval --probe bias` judges them apart", count=len(others))
