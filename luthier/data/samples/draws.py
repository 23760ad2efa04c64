"""Choices that depend on a seed and on nothing else: the same on every machine and every Python."""

import random
from collections.abc import Sequence


class Draws:
    """A stream of choices. It uses only `random()`, whose values Python promises to keep; `choice` and `shuffle` it does not."""

    def __init__(self, seed: str):
        self._random = random.Random(seed)

    def share(self) -> float:
        """A number from 0 up to, not including, 1."""
        return self._random.random()

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.share() * (high - low + 1))

    def pick(self, items: Sequence):
        return items[int(self.share() * len(items))]

    def weighted(self, weights: dict):
        """A key, as often as its weight says."""
        point = self.share() * sum(weights.values())
        for key, weight in weights.items():
            point -= weight
            if point < 0:
                return key
        return key

    def some(self, items: Sequence, count: int) -> list:
        """`count` different items, in random order."""
        rest = list(items)
        return [rest.pop(int(self.share() * len(rest))) for _ in range(count)]
