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

    label_smoothing: float = 0.0
    """Share of the target spread evenly over all tokens or labels; 0 is plain cross-entropy."""

    def prepared(self, *, head, steps) -> "PreparedSFT":
        """The objective with what it works on: the model's head and `steps(start)`, an iterator of lists of micro-batches."""
        return PreparedSFT(head, steps, self.label_smoothing)


@dataclass
class PreparedSFT:
    """Cross-entropy over prepared batches."""

    head: object
    """A `models.heads.Head`: turns batches into summed losses without ever holding the full logits."""
    steps: object
    """A function from the last finished step to an iterator over the micro-batches of each step that follows."""
    label_smoothing: float = 0.0
    """As in `SFT`."""

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
