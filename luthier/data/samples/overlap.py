"""How much two sets of texts share, counted in word 13-grams: the measure by which exam data is kept out of training data.

Words are runs of letters and digits, lower-cased; a text shorter than n words has no n-gram and is compared whole by `exact`.
A gram is a 64-bit hash of its words, so sets of millions stay plain sorted arrays.
"""

import re
from collections.abc import Iterable
from itertools import count

import numpy as np

WORD = re.compile(r"[^\W_]+")
CONTROL = re.compile(r"<\|\w+\|>")
MIX = np.uint64(0x9E3779B97F4A7C15)


def words(text: str) -> list[str]:
    """The lower-cased words of a text, control tokens left out."""
    return WORD.findall(CONTROL.sub(" ", text).lower())


def exact(text: str) -> str:
    """What two texts have in common when they are the same but for case, spacing and punctuation."""
    return " ".join(words(text))


class Grams:
    """Hashes word n-grams; texts are comparable only when hashed by the same object, which numbers each word it meets."""

    def __init__(self, n: int = 13):
        self.n = n
        self._number = {}
        self._next = count(1)

    def of(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """All n-grams of the texts: `hashes` (uint64 [G]) and `owner` (int64 [G], the 0-based number of the text it stands in)."""
        numbers, owners, lengths = [], [], []
        for text in texts:
            found = [self._word(word) for word in words(text)]
            numbers.extend(found)
            lengths.append(len(found))
        ids = _scatter(np.array(numbers, dtype=np.uint64))
        owners = np.repeat(np.arange(len(lengths)), lengths)
        size = max(0, len(ids) - self.n + 1)
        hashes = np.zeros(size, dtype=np.uint64)
        for i in range(self.n):
            hashes = hashes * MIX + ids[i : i + size]
        inside = owners[:size] == owners[self.n - 1 :] if size else np.zeros(0, dtype=bool)
        return hashes[inside], owners[:size][inside]

    def _word(self, word: str) -> int:
        number = self._number.get(word)
        if number is None:
            number = self._number[word] = next(self._next)
        return number


def _scatter(ids: np.ndarray) -> np.ndarray:
    """Spread small numbers over 64 bits (the finaliser of splitmix64, public domain), so that sums of them rarely meet."""
    x = ids * MIX
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def overlap(texts: list[str], others: Iterable[str], n: int = 13) -> float:
    """The share (0 to 1) of the texts' distinct n-grams that stand in the others too; 0 where there is none."""
    grams = Grams(n)
    mine = np.unique(grams.of(texts)[0])
    theirs, _ = grams.of(others)
    return float(np.isin(mine, theirs).mean()) if len(mine) else 0.0
