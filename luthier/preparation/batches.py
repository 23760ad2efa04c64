"""Examples side by side as tensors, ready for a network; packed rows carry positions that restart, and that is what keeps them apart.

Axes: B = rows of a micro-batch, T = positions of the longest row.
"""
from dataclasses import dataclass, replace

import torch

from luthier.preparation.store import TokenStore


@dataclass(frozen=True)
class Batch:
    """One micro-batch."""

    tokens_BT: torch.Tensor
    """Token ids, int64; `pad_token` where a row has ended."""
    weight_BT: torch.Tensor
    """float32: how much predicting the token at this position counts; 0 on padding and on the first token of every example."""
    attend_BT: torch.Tensor | None
    """int64, 1 on tokens and 0 on padding; None where there is no padding, and always None for packed rows."""
    position_BT: torch.Tensor | None
    """int64 positions that restart at each example of a packed row (and at its padding); None for one example a row, counted from 0."""
    label_B: torch.Tensor | None
    """int64 class per row, for examples that have one."""
    rows: list[list[int]]
    """Indices of the examples in each row."""

    @property
    def learned(self) -> int:
        """How many tokens count."""
        return int(torch.count_nonzero(self.weight_BT))

    def to(self, device) -> "Batch":
        """The same batch on another device."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


def collate(store: TokenStore, micro_batch: list[list[int]], pad_token: int) -> Batch:
    """The tensors of one micro-batch of `Order.step`.

    Packed rows (any row of several examples) get positions that restart and no attention mask: Transformers 5 then builds the block-diagonal
    mask itself, provided `use_cache=False`. Padding behind a packed row is a block of its own and attends to no example.
    """
    examples = [[store[index] for index in row] for row in micro_batch]
    widths = [sum(len(item.tokens) for item in row) for row in examples]
    shape, packed = (len(examples), max(widths)), any(len(row) > 1 for row in examples)
    tokens_BT = torch.full(shape, pad_token, dtype=torch.int64)
    weight_BT = torch.zeros(shape, dtype=torch.float32)
    position_BT = torch.zeros(shape, dtype=torch.int64) if packed else None
    for at, row in enumerate(examples):
        start = 0
        for item in row:
            end = start + len(item.tokens)
            tokens_BT[at, start:end] = torch.from_numpy(item.tokens.astype("int64"))
            weight_BT[at, start:end] = torch.from_numpy(item.weights.copy())
            if packed:
                position_BT[at, start:end] = torch.arange(end - start)
            start = end
        if packed:
            position_BT[at, start:] = torch.arange(shape[1] - start)
    padded = not packed and min(widths) < shape[1]
    attend_BT = (torch.arange(shape[1])[None] < torch.tensor(widths)[:, None]).long() if padded else None
    labels = [item.label for row in examples for item in row]
    label_B = torch.tensor(labels) if labels[0] is not None and not packed else None
    return Batch(tokens_BT, weight_BT, attend_BT, position_BT, label_B, micro_batch)
