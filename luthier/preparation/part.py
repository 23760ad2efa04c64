"""Some of a token store's examples, read as a store of their own: what a pilot on a part of the data learns from."""
from collections.abc import Iterator

import numpy as np

from luthier.files import digest
from luthier.preparation.examples import Example


class PartStore:
    """The examples with these numbers, in this order."""

    def __init__(self, store, numbers: np.ndarray):
        self.store, self.numbers = store, np.asarray(numbers, dtype=np.int64)
        self.lengths, self.learned, self.cuts, self.records, self.labels = (np.asarray(getattr(store, name))[self.numbers] for name in ("lengths", "learned", "cuts", "records", "labels"))
        self.values = None if store.values is None else store.values[self.numbers]
        self.key = digest(store.key, self.numbers.tobytes())
        self.tokens, self.tokens_learned, self.tokens_cut = int(self.lengths.sum()), int(self.learned.sum()), int(self.cuts.sum())

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Example:
        return self.store[int(self.numbers[index])]

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))


def part_of(store, share: float, seed: int) -> PartStore:
    """A share of the examples, drawn once by the seed: a smaller share is part of every larger one."""
    order = np.random.default_rng((seed, 8)).permutation(len(store))
    return PartStore(store, np.sort(order[: max(1, round(share * len(store)))]))
