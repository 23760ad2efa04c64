"""What an objective owes the loop: a source of batches and a loss that is a sum with its count.

The loop averages over micro-batches (and later over ranks) by dividing the summed gradient by the summed count, so that
8 rows at once and 8 micro-batches of one row train alike.
"""
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from luthier.objectives.materials import Materials


@dataclass
class Loss:
    """A loss of one micro-batch."""

    total: "Tensor"
    """Summed, not averaged."""
    count: float
    """What the total is summed over: tokens, pairs or sequences; may be fractional where weights are."""
    tokens: int
    """Tokens read, for the rate."""
    figures: dict[str, tuple[float, float]] = field(default_factory=dict)
    """What is worth watching, by name: a sum and what it is summed over."""


class Objective(Protocol):
    """One way to say what is minimised. A dataclass: its fields are its settings."""

    name: ClassVar[str]
    rate_factor: ClassVar[float]
    """The method's default learning rate times this is the objective's, for networks that are not small."""
    examples_a_unit: ClassVar[int]
    """Prepared examples that are learned together: 2 for pairs."""
    learns_tokens: ClassVar[bool]
    """Whether its loss is a sum over learned tokens, so that long answers count for more than short ones; otherwise every unit counts alike."""
    record: ClassVar["type | None"]
    """What it always learns from; None where task, settings or data decide."""

    def lesson(self, task):
        """The task as this objective teaches it: which records it reads and how it is judged; RecipeError where the two do not go together."""

    def prepared(self, materials: "Materials") -> "PreparedObjective":
        """The objective with what it works on, before the first step: the network is still where it starts."""


class PreparedObjective(Protocol):
    """What the loop and the looks at validation ask."""

    steps_per_epoch: int

    def batches(self, network: "nn.Module", start: int) -> Iterator[list]:
        """The micro-batches of optimizer step `start` + 1, then of the next, without end; a pure function of the step and, for objectives that
        make their own batches, of the network as it is when they are asked for."""

    def loss(self, network: "nn.Module", batch) -> Loss:
        """The loss of one micro-batch."""

    def validation(self, network: "nn.Module", scores: dict[str, float]) -> tuple[float, float]:
        """Summed loss and count that choose the checkpoint, dropout off; `scores` are the task's metrics at this look."""

    def finish(self, network: "nn.Module") -> None:
        """Take off the network what only learning needed."""
