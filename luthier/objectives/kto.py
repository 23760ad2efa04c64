"""Kahneman-Tversky optimisation (arXiv:2402.01306): single answers, each good or bad, against a reference point that moves with the model.

With r = log p(answer) under the model minus that under the starting model, and z = max(0, mean of r over prompts paired with answers to other prompts),
a good answer costs desirable * (1 - sigmoid(beta (r - z))), a bad one undesirable * (1 - sigmoid(beta (z - r))). z is measured over the whole
step before its first micro-batch, without gradient, so that micro-batches change nothing.
"""
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from luthier.objectives.loss import Loss


@dataclass
class KTO:
    """Raise good answers and lower bad ones, each by itself."""

    name: ClassVar[str] = "kto"
    rate_factor: ClassVar[float] = 0.2
    examples_a_unit: ClassVar[int] = 1
    learns_tokens: ClassVar[bool] = False
    record: ClassVar[type | None] = None

    beta: Annotated[float, Gt(0)] = 0.1
    """How strongly the starting model holds; smaller moves further."""
    desirable: Annotated[float, Ge(0)] = 1.0
    """Weight of good answers; good and bad should weigh about alike in all."""
    undesirable: Annotated[float, Ge(0)] = 1.0
    """Weight of bad answers."""
    records: Literal["ratings", "pairs"] = "ratings"
    """pairs: a file of chosen and rejected answers, each learned as one good and one bad answer."""

    def __post_init__(self):
        if not self.desirable and not self.undesirable:
            raise ValueError("desirable and undesirable are both 0, so nothing would be learned")

    def lesson(self, task):
        """The task read through ratings, or through pairs taken apart."""
        from luthier.tasks.pairs import paired
        from luthier.tasks.ratings import rated

        return paired(task, self.name, relative=True) if self.records == "pairs" else rated(task, self.name)

    def prepared(self, materials) -> "PreparedKTO":
        """Asks the starting model once about every answer, to its own prompt and to another."""
        from luthier.objectives.sequences import Strangers, references  # torch

        return PreparedKTO(self, materials, references(materials), {split: Strangers(materials, split) for split in materials.stores})


@dataclass
class PreparedKTO:
    """KTO over prepared answers; the label of an example says whether it is good."""

    settings: KTO
    materials: object
    references: dict
    """By split, summed log-probability of each answer under the starting model."""
    strangers: dict
    """By split, `objectives.sequences.Strangers`."""

    @property
    def steps_per_epoch(self) -> int:
        return self.materials.plain_order.steps_per_epoch

    def batches(self, network, start: int):
        number = start
        while True:
            yield self.answers(network, "train", self.materials.plain_order.step(number))
            number += 1

    def answers(self, network, split: str, micro_batches: list) -> list:
        """The micro-batches of one step, with the reference point that they share."""
        from luthier.objectives.sequences import Answers

        examples = [index for rows in micro_batches for row in rows for index in row]
        shift = self.strangers[split].shift(network, examples)
        made = []
        for rows in micro_batches:
            batch = self.materials.batch(split, rows)
            reference_B = self.references[split][[row[0] for row in rows]].to(batch.tokens_BT.device)
            made.append(Answers(batch, reference_B, shift))
        return made

    def loss(self, network, answers) -> Loss:
        from luthier.objectives.sequences import answer_logprobs

        logprob_B, _ = answer_logprobs(self.materials.head, network, answers.batch)
        ratio_B, good_B = logprob_B - answers.reference_B, answers.batch.label_B == 1
        loss_B = answer_losses(ratio_B, good_B, answers.shift, self.settings)
        reward_B, good, count = self.settings.beta * ratio_B.detach(), float(good_B.sum()), float(len(loss_B))
        figures = {"kl": (answers.shift * count, count), "reward/good": (reward_B[good_B].sum().item(), good), "reward/bad": (reward_B[~good_B].sum().item(), count - good)}
        return Loss(loss_B.sum(), count, answers.batch.tokens_BT.numel(), figures)

    def validation(self, network, scores) -> tuple[float, float]:
        from luthier.objectives.materials import summed

        held_out = self.materials.held_out()
        return summed(self, network, self.answers(network, "validation", held_out) if held_out else [])

    def finish(self, network) -> None:
        """Nothing was added."""


def answer_losses(ratio_B, good_B, shift: float, settings: KTO):
    """The loss of each answer from its log-ratio."""
    import torch

    sign_B = torch.where(good_B, 1.0, -1.0)
    weight_B = torch.where(good_B, settings.desirable, settings.undesirable)
    return weight_B * (1 - torch.sigmoid(settings.beta * sign_B * (ratio_B - shift)))
