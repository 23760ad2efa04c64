"""Direct preference optimisation (arXiv:2305.18290): -log sigmoid(beta * (log-ratio of chosen - log-ratio of rejected)), in nats a pair.

A log-ratio is log p(answer) under the model minus that under the starting model. `loss: ipo` (arXiv:2310.12036) is instead the squared distance of the
difference of the per-token log-ratios to 1 / (2 beta). With label smoothing e a pair is taken to be the wrong way round with probability e
(conservative DPO): (1 - e) * loss + e * loss of the turned pair.
"""
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from luthier.data.records import Preference
from luthier.objectives.loss import Loss

SAME = 1e-3
"""Nats below which two log-ratios differ by rounding alone, which is all that they do before the first step."""


@dataclass
class DPO:
    """Prefer the chosen answer of each pair, and stay near the starting model."""

    name: ClassVar[str] = "dpo"
    rate_factor: ClassVar[float] = 0.2
    examples_a_unit: ClassVar[int] = 2
    learns_tokens: ClassVar[bool] = False
    record: ClassVar[type | None] = Preference

    beta: Annotated[float, Gt(0)] = 0.1
    """How strongly the starting model holds; smaller moves further."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid is DPO itself; ipo does not push pairs apart without end."""
    label_smoothing: Annotated[float, Ge(0), Lt(0.5)] = 0.0
    """Share of the pairs that may be the wrong way round."""

    def __post_init__(self):
        if self.label_smoothing and self.loss != "sigmoid":
            raise ValueError("label_smoothing has an effect on `loss: sigmoid` only")

    def lesson(self, task):
        """The task read through pairs of answers."""
        from luthier.tasks.pairs import paired

        return paired(task, self.name, relative=True)

    def prepared(self, materials) -> "PreparedDPO":
        """Asks the starting model once about every answer."""
        from luthier.objectives.sequences import Pairs, references  # torch

        return PreparedDPO(self, Pairs(materials, references(materials)), materials.head)


@dataclass
class PreparedDPO:
    """DPO over prepared pairs."""

    settings: DPO
    pairs: object
    """`objectives.sequences.Pairs`."""
    head: object
    """A causal head."""

    @property
    def steps_per_epoch(self) -> int:
        return self.pairs.order.steps_per_epoch

    def batches(self, network, start: int):
        return self.pairs.steps(start)

    def loss(self, network, answers) -> Loss:
        from luthier.objectives.sequences import answer_logprobs

        logprob_B, length_B = answer_logprobs(self.head, network, answers.batch)
        ratio_B = logprob_B - answers.reference_B
        loss_P = pair_losses(ratio_B, length_B, self.settings)
        chosen_P, rejected_P = (self.settings.beta * ratio_B.detach()).chunk(2)
        margin_P = chosen_P - rejected_P
        right_P = (margin_P > 0).float().masked_fill(margin_P.abs() <= self.settings.beta * SAME, 0.5)
        pairs = float(len(loss_P))
        figures = {
            "reward/chosen": chosen_P.sum().item(), "reward/rejected": rejected_P.sum().item(), "reward/margin": margin_P.sum().item(),
            "reward/accuracy": right_P.sum().item(),
        }
        return Loss(loss_P.sum(), pairs, answers.batch.tokens_BT.numel(), {name: (value, pairs) for name, value in figures.items()})

    def validation(self, network, scores) -> tuple[float, float]:
        from luthier.objectives.materials import summed

        return summed(self, network, self.pairs.held_out(), scores, {"reward/accuracy": "implicit_accuracy"})

    def finish(self, network) -> None:
        """Nothing was added."""


def pair_losses(ratio_B, length_B, settings: DPO):
    """The loss of each pair, from log-ratios of all chosen and then all rejected answers."""
    import torch.nn.functional as F

    if settings.loss == "ipo":
        chosen_P, rejected_P = (ratio_B / length_B.clamp(min=1)).chunk(2)
        return (chosen_P - rejected_P - 1 / (2 * settings.beta)) ** 2
    chosen_P, rejected_P = ratio_B.chunk(2)
    margin_P = settings.beta * (chosen_P - rejected_P)
    return -F.logsigmoid(margin_P) * (1 - settings.label_smoothing) - F.logsigmoid(-margin_P) * settings.label_smoothing
