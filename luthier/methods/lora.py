"""LoRA: each adapted linear layer gains a product of two thin matrices (arXiv:2106.09685): y = W x + (alpha / rank) * B A x, B = 0 at the start."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass
class LoRA:
    """Low-rank adapters beside frozen weights."""

    name: ClassVar[str] = "lora"
    base_is_frozen: ClassVar[bool] = True

    rank: int = 16
    """Width of the thin matrices; more learns more and costs more."""
    alpha: float = 32.0
    """Strength: the product is scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of the adapter's inputs dropped while training."""
    targets: list[str] | None = None
    """Last names of the layers to adapt; none: every linear layer but the output head."""
