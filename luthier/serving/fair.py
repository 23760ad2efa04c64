"""A queue that is fair between those who ask: whoever has been given the least so far is served next.

Each asker has a counter of tokens given. Who comes back after a pause starts at the least of those who wait, so that a pause saves up nothing
(fair queueing by counters: Sheng et al., arXiv:2401.00588).
"""
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")
MOST_ASKERS = 10_000


class FairQueue(Generic[T]):
    """Waiting items by asker."""

    def __init__(self):
        self.lines: dict[str, deque[T]] = {}
        self.given: dict[str, float] = {}
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def put(self, asker: str, item: T) -> None:
        """Wait at the end of one's own line."""
        if asker not in self.lines:
            least = min((self.given[other] for other in self.lines), default=0.0)
            if len(self.given) >= MOST_ASKERS:
                self.given = {other: self.given[other] for other in self.lines}
            self.given[asker] = max(self.given.get(asker, 0.0), least)
            self.lines[asker] = deque()
        self.lines[asker].append(item)
        self.size += 1

    def peek(self) -> T | None:
        """The item that is next."""
        return self.lines[self.next_asker()][0] if self.lines else None

    def take(self, cost: float) -> T:
        """Remove the item that is next and charge its asker."""
        asker = self.next_asker()
        self.given[asker] += cost
        return self.drop_from(asker, self.lines[asker][0])

    def next_asker(self) -> str:
        return min(self.lines, key=lambda asker: self.given[asker])

    def drop_from(self, asker: str, item: T) -> T:
        """Remove an item, wherever it waits in its line."""
        line = self.lines[asker]
        line.remove(item)
        self.size -= 1
        if not line:
            del self.lines[asker]
        return item

    def items(self) -> list[tuple[str, T]]:
        """All that wait, with their askers."""
        return [(asker, item) for asker, line in self.lines.items() for item in line]
