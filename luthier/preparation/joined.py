"""Several token stores read as one: the examples of the task, and those that are mixed in."""
from collections.abc import Iterator, Sequence

import numpy as np

from luthier.files import digest
from luthier.preparation.examples import Example
from luthier.preparation.store import TokenStore


class JoinedStore:
    """Stores one after the other; `records` run on, so that an example of the second store names no record of the first."""

    def __init__(self, stores: Sequence[TokenStore]):
        self.stores = list(stores)
        self.starts = np.cumsum([0, *(len(store) for store in stores)])
        for name in ("lengths", "learned", "cuts", "labels"):
            setattr(self, name, np.concatenate([np.asarray(vars(store)[name]) for store in stores]))
        shifts = np.cumsum([0, *(int(store.records.max(initial=-1)) + 1 for store in stores)])
        self.records = np.concatenate([np.asarray(store.records) + shift for store, shift in zip(stores, shifts)])
        numbers = [store.values for store in stores]
        self.values = None if all(held is None for held in numbers) else np.concatenate(numbers)
        self.key = digest(*(store.key for store in stores))
        self.tokens, self.tokens_learned, self.tokens_cut = (sum(getattr(store, name) for store in stores) for name in ("tokens", "tokens_learned", "tokens_cut"))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Example:
        index = range(len(self))[index]
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.stores[part][index - int(self.starts[part])]

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))
