"""Odds-ratio preference optimisation (arXiv:2403.07691): cross-entropy of the chosen answer, and its odds above those of the rejected one. No starting model.

With p the mean-token likelihood exp(log p(answer) / tokens) and odds = p / (1 - p), a pair costs
nll(chosen) - beta * log sigmoid(log odds(chosen) - log odds(rejected)), in nats; the first part is a mean over all learned tokens of the step, the second over
its pairs. `learn` says whether the first part counts the answers only or, as the paper's own code and TRL do, their prompts too.
"""
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt

from luthier.data.records import Preference
from luthier.objectives.loss import Loss


@dataclass
class ORPO:
    """Learn the chosen answer and turn away from the rejected one in one go."""

    name: ClassVar[str] = "orpo"
    rate_factor: ClassVar[float] = 0.5
    examples_a_unit: ClassVar[int] = 2
    learns_tokens: ClassVar[bool] = False
    record: ClassVar[type | None] = Preference

    beta: Annotated[float, Gt(0)] = 0.1
    """Weight of the odds ratio beside the cross-entropy (lambda in the paper)."""
    learn: Literal["answer", "everything"] = "answer"
    """What the cross-entropy counts: the chosen answer, or its prompt too."""

    def lesson(self, task):
        """The task read through pairs of answers."""
        from luthier.tasks.pairs import paired

        return paired(task, self.name)

    def prepared(self, materials) -> "PreparedORPO":
        from luthier.objectives.sequences import Pairs  # torch

        return PreparedORPO(self, Pairs(materials), materials.head)


@dataclass
class PreparedORPO:
    """ORPO over prepared pairs."""

    settings: ORPO
    pairs: object
    """`objectives.sequences.Pairs`."""
    head: object
    """A causal head."""

    @property
    def steps_per_epoch(self) -> int:
        return self.pairs.order.steps_per_epoch

    def batches(self, network, start: int):
        for answers in self.pairs.steps(start):
            yield self.shared(answers)

    def shared(self, answers: list) -> list:
        """The micro-batches of a step, told how many learned tokens a pair of the step has."""
        learned = sum(self.wanted(one.batch)[: len(one.batch.tokens_BT) // 2, 1:].sum().item() for one in answers)
        pairs = sum(len(one.batch.tokens_BT) // 2 for one in answers)
        return [replace(one, shift=max(learned, 1.0) / pairs) for one in answers]

    def wanted(self, batch):
        """1 where a log-probability is needed [B, T]: in answers, and in the prompts of the chosen ones where those are learned too."""
        import torch

        if self.settings.learn == "answer":
            return batch.weight_BT
        real_BT = torch.ones_like(batch.weight_BT) if batch.attend_BT is None else batch.attend_BT.to(batch.weight_BT.dtype)
        chosen = len(batch.tokens_BT) // 2
        return torch.cat([real_BT[:chosen], batch.weight_BT[chosen:]])

    def loss(self, network, answers) -> Loss:
        import torch

        from luthier.models.token_logprobs import token_logprobs

        batch, wanted_BT = answers.batch, self.wanted(answers.batch)
        chosen = len(batch.tokens_BT) // 2
        logprob_BT, _ = token_logprobs(self.head, network, batch.tokens_BT, wanted_BT, batch.attend_BT)
        weight_BT = batch.weight_BT[:, 1:]
        mean_B = (logprob_BT * weight_BT).sum(-1) / weight_BT.sum(-1).clamp(min=1)
        nll_P = -logprob_BT[:chosen].sum(-1) / answers.shift
        log_odds_P = odds_difference(*mean_B.chunk(2))
        total = (nll_P - self.settings.beta * torch.nn.functional.logsigmoid(log_odds_P)).sum()
        pairs = float(chosen)
        chosen_P, rejected_P = mean_B.detach().chunk(2)
        figures = {"nll": nll_P.sum().item(), "log_odds": log_odds_P.sum().item(), "reward/accuracy": (chosen_P > rejected_P).sum().item(), "reward/margin": (chosen_P - rejected_P).sum().item()}
        return Loss(total, pairs, batch.tokens_BT.numel(), {name: (value, pairs) for name, value in figures.items()})

    def validation(self, network, scores) -> tuple[float, float]:
        from luthier.objectives.materials import summed

        return summed(self, network, self.shared(list(self.pairs.held_out())))

    def finish(self, network) -> None:
        """Nothing was added."""


def odds_difference(chosen_P, rejected_P):
    """Log odds of the chosen minus those of the rejected answer, from mean log-probabilities; exact near 0, where 1 - p loses its digits."""
    return (chosen_P - rejected_P) - (log_one_minus_exp(chosen_P) - log_one_minus_exp(rejected_P))


def log_one_minus_exp(x_P):
    """log(1 - exp(x)) for x < 0."""
    import torch

    x_P = x_P.clamp(max=-1e-7)
    return torch.where(x_P > -0.6931472, torch.log(-torch.expm1(x_P)), torch.log1p(-torch.exp(x_P)))
