"""Examples side by side as tensors, ready for a network; packed rows carry positions that restart, and that is what keeps them apart.

Axes: B = rows of a micro-batch, T = positions of the longest row.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from luthier.preparation.examples import Example
from luthier.preparation.store import TokenStore

Noise = Callable[[Example, int], Example]
"""What is done to an example (and its index) each time it is read, a pure function: masking, for example."""


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
    target_BT: torch.Tensor | None = None
    """int64: what is predicted at each position, where that is not the token itself."""
    value_BK: torch.Tensor | None = None
    """float32: numbers that are predicted for the whole row."""
    share_B: torch.Tensor | None = None
    """float32: how much each row counts; None where all count 1."""
    segment_BT: torch.Tensor | None = None
    """int64, 1 from where the second of two texts begins; None where no row has two."""
    source_BS: torch.Tensor | None = None
    """int64: what an encoder reads; then `tokens_BT` is what the decoder writes."""
    source_attend_BS: torch.Tensor | None = None
    """int64, 1 on tokens of the source and 0 on padding; None where there is no padding."""

    @property
    def learned(self) -> int:
        """How many tokens count."""
        return int(torch.count_nonzero(self.weight_BT))

    @property
    def more(self) -> dict[str, torch.Tensor]:
        """The tensors that only some heads take, by name."""
        names = ("target_BT", "value_BK", "share_B", "segment_BT", "source_BS", "source_attend_BS")
        return {name: value for name in names if (value := vars(self)[name]) is not None}

    def to(self, device) -> "Batch":
        """The same batch on another device."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


def collate(store: TokenStore, micro_batch: list[list[int]], pad_token: int, noise: Noise | None = None) -> Batch:
    """The tensors of one micro-batch of `Order.step`; `noise` changes each example on its way in.

    Packed rows (any row of several examples) get positions that restart and no attention mask: Transformers 5 then builds the block-diagonal
    mask itself, provided `use_cache=False`. Padding behind a packed row is a block of its own and attends to no example.
    """
    examples = [[store[index] if noise is None else noise(store[index], index) for index in row] for row in micro_batch]
    if examples[0][0].source:
        return _two_sided([row[0] for row in examples], micro_batch, pad_token)
    widths = [sum(len(item.tokens) for item in row) for row in examples]
    shape, packed = (len(examples), max(widths)), any(len(row) > 1 for row in examples)
    tokens_BT = torch.full(shape, pad_token, dtype=torch.int64)
    weight_BT = torch.zeros(shape, dtype=torch.float32)
    position_BT = torch.zeros(shape, dtype=torch.int64) if packed else None
    target_BT = torch.zeros(shape, dtype=torch.int64) if examples[0][0].targets is not None else None
    for at, row in enumerate(examples):
        start = 0
        for item in row:
            end = start + len(item.tokens)
            tokens_BT[at, start:end] = torch.from_numpy(item.tokens.astype("int64"))
            weight_BT[at, start:end] = torch.from_numpy(item.weights.copy())
            if target_BT is not None:
                target_BT[at, start:end] = torch.from_numpy(item.targets.astype("int64"))
            if packed:
                position_BT[at, start:end] = torch.arange(end - start)
            start = end
        if packed:
            position_BT[at, start:] = torch.arange(shape[1] - start)
    padded = not packed and min(widths) < shape[1]
    attend_BT = (torch.arange(shape[1])[None] < torch.tensor(widths)[:, None]).long() if padded else None
    labels = [item.label for row in examples for item in row]
    label_B = torch.tensor(labels) if labels[0] is not None and not packed else None
    value_BK = None if examples[0][0].values is None or packed else torch.from_numpy(np.stack([row[0].values for row in examples]))
    return Batch(tokens_BT, weight_BT, attend_BT, position_BT, label_B, micro_batch, target_BT, value_BK, None if packed else _shares([row[0] for row in examples]), segments([row[0] for row in examples], shape[1]))


def segments(examples: Sequence[Example], width: int) -> torch.Tensor | None:
    """1 from where the second text of each row begins; None where no row has two."""
    begins = torch.tensor([item.second or width for item in examples])
    return (torch.arange(width)[None] >= begins[:, None]).long() if any(item.second for item in examples) else None


def side_by_side(examples: Sequence[Example], pad_token: int) -> dict[str, torch.Tensor | None]:
    """Examples that are only read, as the tensors that a class head takes: tokens_BT, attend_BT, segment_BT."""
    tokens_BT = padded([item.tokens for item in examples], pad_token)
    attend_BT = (torch.arange(tokens_BT.shape[1])[None] < torch.tensor([len(item.tokens) for item in examples])[:, None]).long()
    return {"tokens_BT": tokens_BT, "attend_BT": attend_BT, "segment_BT": segments(examples, tokens_BT.shape[1])}


def _shares(examples: Sequence[Example]) -> torch.Tensor | None:
    """How much each row counts; None where all count alike."""
    found = [item.share for item in examples]
    return None if all(share == 1.0 for share in found) else torch.tensor(found, dtype=torch.float32)


def _two_sided(examples: Sequence[Example], rows: list[list[int]], pad_token: int) -> Batch:
    """What an encoder reads and what a decoder writes as two padded tensors."""
    if any(len(row) > 1 for row in rows):
        raise ValueError("examples with a source cannot share a row")
    sources = [item.tokens[: item.source] for item in examples]
    targets, weights = [item.tokens[item.source :] for item in examples], [item.weights[item.source :] for item in examples]
    lengths = torch.tensor([len(source) for source in sources])
    attend_BS = (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long() if len(set(lengths.tolist())) > 1 else None
    return Batch(padded(targets, pad_token), padded(weights, 0.0), None, None, None, rows, source_BS=padded(sources, pad_token), source_attend_BS=attend_BS)


def padded(rows: Sequence[np.ndarray], filler: float) -> torch.Tensor:
    """Rows side by side, padded on the right: int64 of whole numbers, float32 of others."""
    kind = torch.float32 if isinstance(filler, float) else torch.int64
    found = torch.full((len(rows), max(len(row) for row in rows)), filler, dtype=kind)
    for at, row in enumerate(rows):
        found[at, : len(row)] = torch.from_numpy(np.array(row)).to(kind)
    return found
