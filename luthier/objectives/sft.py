"""Cross-entropy: -sum over learned tokens of weight * log p(token | those before it); for a class head, -log p(label | text).

With label smoothing e the target is (1 - e) on the right token and e spread evenly over all (Szegedy et al., arXiv:1512.00567).
"""
from dataclasses import dataclass
from typing import ClassVar

from luthier.objectives.loss import Loss


@dataclass
class SFT:
    """Supervised fine-tuning: raise the likelihood of the wanted tokens or label."""

    name: ClassVar[str] = "sft"
    rate_factor: ClassVar[float] = 1.0
    examples_a_unit: ClassVar[int] = 1
    learns_tokens: ClassVar[bool] = True
    record: ClassVar[type | None] = None

    label_smoothing: float = 0.0
    """Share of the target spread evenly over all tokens or labels; 0 is plain cross-entropy."""

    def lesson(self, task):
        """Every task as it is."""
        return task

    def prepared(self, materials) -> "PreparedSFT":
        """The objective with what it works on."""
        return PreparedSFT(materials.head, materials.steps, self.label_smoothing, materials)


@dataclass
class PreparedSFT:
    """Cross-entropy over prepared batches."""

    head: object
    """A `models.heads.Head`: turns batches into summed losses without ever holding the full logits."""
    steps: object
    """A function from the last finished step to an iterator over the micro-batches of each step that follows."""
    label_smoothing: float = 0.0
    """As in `SFT`."""
    materials: object = None
    """`objectives.materials.Materials`, for the looks at validation; None where the caller looks itself."""

    @property
    def steps_per_epoch(self) -> int:
        return self.materials.plain_order.steps_per_epoch

    def batches(self, network, start: int):
        return self.steps(start)

    def loss(self, network, batch) -> Loss:
        total, count = self.head.loss(
            network,
            batch.tokens_BT,
            batch.weight_BT,
            attend_BT=batch.attend_BT,
            position_BT=batch.position_BT,
            label_B=batch.label_B,
            label_smoothing=self.label_smoothing,
            **batch.more,
        )
        read = batch.tokens_BT.numel() + (0 if batch.source_BS is None else batch.source_BS.numel())
        return Loss(total, count, read)

    def validation(self, network, scores) -> tuple[float, float]:
        from luthier.objectives.materials import summed  # torch

        change = self.materials.noise(-1) if self.materials.noise else None
        return summed(self, network, (self.materials.batch("validation", rows, change) for rows in self.materials.held_out()))

    def finish(self, network) -> None:
        """Nothing was added."""
