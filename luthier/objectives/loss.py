"""What an objective owes the loop: a source of batches and a loss that is a sum with its count.

The loop averages over micro-batches (and later over ranks) by dividing the summed gradient by the summed count, so that
8 rows at once and 8 micro-batches of one row train alike.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Loss:
    """A loss of one micro-batch."""

    total: "Tensor"
    """Summed, not averaged."""
    count: float
    """What the total is summed over: tokens, pairs or sequences; may be fractional where weights are."""
    tokens: int
    """Tokens read, for the rate."""


class Objective(Protocol):
    """One way to say what is minimised."""

    def batches(self, network: "nn.Module", start: int) -> Iterator[list]:
        """The micro-batches of optimizer step `start` + 1, then of the next, without end; a pure function of the step."""

    def loss(self, network: "nn.Module", batch) -> Loss:
        """The loss of one micro-batch."""
