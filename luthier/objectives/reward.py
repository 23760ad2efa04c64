"""A reward model (Bradley and Terry, 1952; arXiv:2203.02155): -log sigmoid(score of the chosen - score of the rejected answer), in nats a pair.

`center` adds center * (sum of both scores)^2, which keeps scores around 0 without touching their difference (arXiv:2312.09244).
"""
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from luthier.data.records import Preference
from luthier.objectives.loss import Loss


@dataclass
class Reward:
    """Learn a score that is higher for the answer people preferred."""

    name: ClassVar[str] = "reward"
    rate_factor: ClassVar[float] = 0.5
    examples_a_unit: ClassVar[int] = 2
    learns_tokens: ClassVar[bool] = False
    record: ClassVar[type | None] = Preference

    center: Annotated[float, Ge(0)] = 0.0
    """Weight of keeping scores around 0."""

    def lesson(self, task):
        """The task read through pairs, by a head with one score."""
        from luthier.tasks.pairs import paired

        return paired(task, self.name, scored=True)

    def prepared(self, materials) -> "PreparedReward":
        from luthier.objectives.sequences import Pairs  # torch

        return PreparedReward(self, Pairs(materials), materials.head)


@dataclass
class PreparedReward:
    """Bradley-Terry over prepared pairs."""

    settings: Reward
    pairs: object
    """`objectives.sequences.Pairs`."""
    head: object
    """A head that gives one score a row."""

    @property
    def steps_per_epoch(self) -> int:
        return self.pairs.order.steps_per_epoch

    def batches(self, network, start: int):
        return self.pairs.steps(start)

    def loss(self, network, answers) -> Loss:
        import torch.nn.functional as F

        batch = answers.batch
        score_B = self.head.logits(network, batch.tokens_BT, batch.attend_BT)[:, 0].float()
        chosen_P, rejected_P = score_B.chunk(2)
        total = -F.logsigmoid(chosen_P - rejected_P).sum()
        if self.settings.center:
            total = total + self.settings.center * ((chosen_P + rejected_P) ** 2).sum()
        pairs, margin_P = float(len(chosen_P)), (chosen_P - rejected_P).detach()
        figures = {"reward/chosen": chosen_P.sum().item(), "reward/rejected": rejected_P.sum().item(), "reward/margin": margin_P.sum().item(), "reward/accuracy": (margin_P > 0).sum().item()}
        return Loss(total, pairs, batch.tokens_BT.numel(), {name: (value, pairs) for name, value in figures.items()})

    def validation(self, network, scores) -> tuple[float, float]:
        from luthier.objectives.materials import summed

        return summed(self, network, self.pairs.held_out())

    def finish(self, network) -> None:
        """Nothing was added."""
