"""Dropout (Srivastava et al. 2014) on a CPU at a third of its time: PyTorch draws a number for every place; one random word of 64 bits serves four.

The numbers come from torch's own generator, so that a seed, a resumed run and a recomputed layer repeat them; they are other numbers than torch.dropout's.
"""
import math

import torch
from torch import Tensor, nn

LEVELS = 1 << 16


def noise(shape: torch.Size, rate: float, dtype: torch.dtype) -> Tensor:
    """What dropout multiplies by: 0 with probability `rate`, to the nearest 1 / 65,536, elsewhere the number that keeps the mean."""
    gone, count = min(round(rate * LEVELS), LEVELS - 1), math.prod(shape)
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.int16)[:count].view(shape) >= gone - LEVELS // 2
    return kept.to(dtype).mul_(LEVELS / (LEVELS - gone))


class QuickDropout:
    """Mixed into a dropout layer."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and 0 < self.p < 1 and x.device.type == "cpu" and x.is_floating_point() and not self.inplace:
            return x * noise(x.shape, self.p, x.dtype)
        return super().forward(x)


def is_dropout(module: nn.Module) -> bool:
    """Whether a layer is PyTorch's own dropout and drops anything."""
    return type(module) is nn.Dropout and module.p > 0


def attend(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, bias: Tensor | None, rate: float, scale: float) -> Tensor:
    """softmax(scale * Q K' + bias) V with dropout on the probabilities: [B, H, T, D] -> [B, T, H, D]. `seen` is True where a query sees a key."""
    scores = (query * scale) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    if seen is not None:
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)  # finite: a row that sees nothing must not become NaN
    share = scores.softmax(-1)
    return ((share * noise(share.shape, rate, share.dtype)) @ value).transpose(1, 2).contiguous()
