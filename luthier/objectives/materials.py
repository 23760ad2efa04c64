"""What an objective works with: the network and its head, the prepared examples, and how they are dealt out in steps."""
import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from luthier.models.language_model import LanguageModel
from luthier.preparation.batches import Batch, collate
from luthier.preparation.order import Order
from luthier.preparation.store import TokenStore
from luthier.runs.events import Say, silent


@dataclass
class Materials:
    """Given once, before the first step, to `Objective.prepared`."""

    language_model: LanguageModel
    """The model being trained; its `network` is what the method made of the base."""
    stores: dict[str, TokenStore]
    """Prepared examples by split: train, validation."""
    batch_size: int
    """Units (rows, pairs, prompts) of one optimizer step."""
    tokens_per_micro_batch: int
    """Most tokens in one forward pass, padding included."""
    seed: int
    """Of order and sampling."""
    packing: bool = False
    """Whether several examples may share a row."""
    group_by_length: bool = True
    """Whether the units of one step are alike in length."""
    reference: Callable[[], contextlib.AbstractContextManager[nn.Module]] | None = None
    """The starting model for as long as the context lasts: what was added is switched off, or a frozen copy takes over."""
    folder: Path | None = None
    """Where what is made on the way may be kept."""
    kept: Path | None = None
    """A folder that all runs share, for what is computed once and named by the hash of what it was made from."""
    task: object = None
    """The task as this objective sees it, prepared."""
    renderer: object = None
    """Turns messages into token ids."""
    records: Callable[[str], list] = field(default=lambda split: [])
    """All records of a split; a store's `records` says which of them each example was made from."""
    noise: Callable[[int], object] | None = None
    """What is done to the examples of a step, by its number; -1 is every look at validation."""
    say: Say = silent
    """Where news goes."""

    @property
    def head(self):
        return self.language_model.head

    @property
    def network(self) -> nn.Module:
        return self.language_model.network

    def order(self, *, lengths: Sequence[int] | None = None, context: int | None = None) -> Order:
        """Which units are learned at which step; by default every training example is one."""
        given = self.stores["train"].lengths if lengths is None else lengths
        return Order(
            given, batch_size=self.batch_size, tokens_per_micro_batch=self.tokens_per_micro_batch, seed=self.seed,
            packing=self.packing and lengths is None, context=context or self.language_model.context, group_by_length=self.group_by_length,
        )

    @functools.cached_property
    def plain_order(self) -> Order:
        """The order in which every training example is a unit."""
        return self.order()

    def batch(self, split: str, rows: list[list[int]], change=None) -> Batch:
        """The tensors of a micro-batch, on the model's device; `change` is what noise does to its examples."""
        return collate(self.stores[split], rows, self.language_model.pad_token, change).to(self.language_model.device)

    def steps(self, start: int) -> Iterator[list[Batch]]:
        """The micro-batches of every step after `start`, without end, one example a unit."""
        order, number = self.plain_order, start
        while True:
            change = self.noise(number) if self.noise else None
            yield [self.batch("train", rows, change) for rows in order.step(number)]
            number += 1

    def held_out(self) -> list[list[list[int]]]:
        """The validation examples in micro-batches, by length; none where there is no such split."""
        store = self.stores.get("validation")
        return [] if store is None else whole(store.lengths, 4 * self.tokens_per_micro_batch, self.language_model.context)


def starting_model(method, language_model: LanguageModel) -> Callable[[], contextlib.AbstractContextManager[nn.Module]]:
    """The model as it was before the first step: the frozen base with its additions off; where every weight is learned, the network itself until it moves,
    and from then on a frozen copy that is made when it is first asked for ahead (`ahead=True`)."""
    if method.base_is_frozen:

        @contextlib.contextmanager
        def switched_off(*, ahead: bool = False) -> Iterator[nn.Module]:
            with method.disabled(language_model.network):
                yield language_model.network

        return switched_off
    twin: list[nn.Module] = []

    @contextlib.contextmanager
    def copied(*, ahead: bool = False) -> Iterator[nn.Module]:
        if ahead and not twin:
            twin.append(copy.deepcopy(language_model.network).requires_grad_(False).eval())
        yield twin[0] if twin else language_model.network

    return copied


def whole(lengths: np.ndarray, tokens: int, context: int) -> list[list[list[int]]]:
    """All units once, in micro-batches of at most so many tokens."""
    return Order(lengths, batch_size=len(lengths), tokens_per_micro_batch=tokens, seed=0, context=context).step(0)


@torch.no_grad()
def summed(objective, network: nn.Module, batches, scores: dict[str, float] | None = None, shown: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Summed loss and count of an objective over batches, dropout off; means of the figures named in `shown` go among the scores under its names."""
    network.eval()
    losses = [objective.loss(network, batch) for batch in batches]
    for figure, name in (shown or {}).items():
        sums = [loss.figures[figure] for loss in losses]
        if count := sum(one[1] for one in sums):
            scores[name] = sum(one[0] for one in sums) / count
    return sum(loss.total.item() for loss in losses), sum(loss.count for loss in losses)
