"""Known phrases in a batch: looked for by their longest word, among words that are hashed already, and read letter by letter only where that word stands."""
import re
from collections.abc import Iterable

import numpy as np

from luthier.data.columns import Batch, Lookup, hash_word

LETTERS = re.compile(r"[a-z0-9]+")


class Phrases:
    """Phrases in lower case, each with a word of letters or digits in it."""

    def __init__(self, phrases: Iterable[str]):
        self.by_anchor: dict[str, list[str]] = {}
        for phrase in phrases:
            self.by_anchor.setdefault(max(LETTERS.findall(phrase), key=len), []).append(phrase)
        self.lists = list(self.by_anchor.values())
        self.lookup = Lookup([hash_word(anchor) for anchor in self.by_anchor], np.arange(len(self.lists)))

    def rows(self, batch: Batch, segment: int | None = None) -> np.ndarray:
        """Rows of the batch that hold a phrase, in the segment where one is named."""
        words = batch.words
        place, anchor = self.lookup.find(words.hash_W)
        if segment is not None:
            mine = words.segment_W[place] == segment
            place, anchor = place[mine], anchor[mine]
        found = set()
        for row, part, at in zip(words.row_W[place].tolist(), words.segment_W[place].tolist(), anchor.tolist()):
            if row not in found:
                text = batch.facets[row].segments[part].lower()
                if any(phrase in text for phrase in self.lists[at]):
                    found.add(row)
        return np.array(sorted(found), dtype=np.int64)


RARITY = "|<>[]@{}:#/_QXZJKVYWUGFDPBHNRCLMOEASIT-"
"""Signs from rare to common in ordinary text; a short string is looked for by its rarest."""


class Signs:
    """Short strings of ASCII, all looked for in one pass over the characters: by their rarest sign, and then sign by sign where that stands."""

    def __init__(self, strings: Iterable[str], *, any_case: bool = False):
        self.any_case = any_case
        self.table = np.zeros(256, dtype=bool)
        self.strings: dict[str, int] = {}
        for string in strings:
            at = min(range(len(string)), key=lambda place: RARITY.find(string[place]) if string[place] in RARITY else len(RARITY))
            self.strings[string] = at
            self.table[ord(string[at])] = True

    def places(self, code_C: np.ndarray) -> dict[str, np.ndarray]:
        """Where each string begins, for those that stand anywhere."""
        marks = np.flatnonzero(self.table[code_C if code_C.dtype == np.uint8 else np.minimum(code_C, 255)])
        found, by_sign = {}, {}
        signs = code_C[marks]
        for string, anchor in self.strings.items():
            sign = ord(string[anchor])
            if sign not in by_sign:
                by_sign[sign] = marks[signs == sign]
            start = by_sign[sign] - anchor
            start = start[(start >= 0) & (start <= len(code_C) - len(string))]
            for place, letter in enumerate(string):
                if place != anchor and len(start):
                    here = code_C[start + place]
                    start = start[(here | 32 if self.any_case and letter.isalpha() else here) == ord(letter)]
            if len(start):
                found[string] = start
        return found
