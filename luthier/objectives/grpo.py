"""Group-relative policy optimisation (arXiv:2402.03300): several answers to each prompt, each better or worse than the mean of its group.

Per token, with ratio = p(token) / p(token) when it was written, A = (reward - mean of the group) / (deviation of the group + 1e-4):
-min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A) + kl * (exp(d) - d - 1) - entropy * H, d = log p of the starting model - log p.
`average` says what counts alike: every answer (GRPO), every token (DAPO, arXiv:2503.14476), or every token over a fixed length (Dr. GRPO,
arXiv:2503.20783, which also leaves out the deviation: `scale: none`). DAPO's other corrections are `clip_high: 0.28`, `redraws` (or `drop_flat_groups`,
which is cheaper), `overlong` and `drop_cut_short`.
"""
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from luthier.data.records import Prompt
from luthier.objectives.loss import Loss
from luthier.objectives.writing import Writing

AT_LEAST = 1e-4
"""Added to the deviation of a group."""


@dataclass
class GRPO(Writing):
    """Write several answers to a prompt and learn from those that earn more than the others."""

    name: ClassVar[str] = "grpo"
    rate_factor: ClassVar[float] = 0.2
    examples_a_unit: ClassVar[int] = 1
    learns_tokens: ClassVar[bool] = False
    record: ClassVar[type | None] = Prompt

    group_size: Annotated[int, Ge(2)] = 8
    """Answers to each prompt; `training.batch_size` counts prompts."""
    updates_per_rollout: Annotated[int, Ge(1)] = 1
    """Optimizer steps made on the same answers."""
    kl: Annotated[float, Ge(0)] = 0.04
    """How strongly the starting model holds; 0 lets go of it (and of the memory it takes)."""
    kl_by_ratio: bool = False
    """Multiply the KL of a token by its ratio, which makes the gradient that of the KL itself (DeepSeek-V3.2, arXiv:2512.02556)."""
    entropy: Annotated[float, Ge(0)] = 0.0
    """Weight of keeping answers varied."""
    clip_low: Annotated[float, Gt(0), Le(1)] = 0.2
    """A token's probability counts down to 1 - this of what it was."""
    clip_high: Annotated[float, Gt(0)] = 0.2
    """A token's probability counts up to 1 + this of what it was."""
    average: Literal["answer", "token", "constant"] = "answer"
    """What counts alike: answers (GRPO), tokens (DAPO), tokens over max_answer_tokens (Dr. GRPO)."""
    scale: Literal["group", "batch", "none"] = "group"
    """What rewards are divided by: the deviation of the group, of the whole rollout, or nothing (Dr. GRPO)."""
    drop_flat_groups: bool = False
    """Leave prompts out of the average whose answers all earn the same (DAPO)."""
    redraws: Annotated[int, Ge(0)] = 0
    """How often prompts whose answers all earn the same give way to other prompts before the step is made (DAPO's dynamic sampling)."""
    drop_cut_short: bool = False
    """Leave answers out that hit max_answer_tokens, so that length alone is not punished (DAPO)."""
    overlong: Annotated[int, Ge(0)] = 0
    """Over the last so many of max_answer_tokens an answer loses up to one point of its reward (DAPO's soft punishment)."""

    def __post_init__(self):
        if self.overlong > self.max_answer_tokens:
            raise ValueError("overlong is a part of max_answer_tokens and cannot be larger")

    def prepared(self, materials) -> "PreparedGRPO":
        """Takes the starting model along where the KL counts."""
        from luthier.objectives.rollouts import Rollouts  # torch

        return PreparedGRPO(self, materials, Rollouts(materials, self, updates=self.updates_per_rollout, redraws=self.redraws, overlong=self.overlong))


@dataclass
class PreparedGRPO:
    """GRPO over its own rollouts."""

    settings: GRPO
    materials: object
    rollouts: object
    """`objectives.rollouts.Rollouts`."""
    reference: dict = field(default_factory=dict)
    """Log-probabilities of the current rollout under the starting model, by its number."""

    def __post_init__(self):
        if self.settings.kl and self.rollouts is not None:
            from luthier.objectives.rollouts import take_along

            take_along(self.materials)

    @property
    def steps_per_epoch(self) -> int:
        return self.rollouts.steps_per_epoch

    def batches(self, network, start: int):
        step = start
        while True:
            yield self.micro_batches(self.rollouts.of_step(network, step), step)
            step += 1

    def micro_batches(self, rollout, step: int) -> list:
        """The answers of a rollout with what each earned beside its group, in micro-batches."""
        from luthier.objectives.rollouts import graded, under_start

        settings = self.settings
        advantage_N, counts_N = advantages(rollout, settings)
        reference = None
        if settings.kl:
            if rollout.number not in self.reference:
                self.reference = {rollout.number: under_start(self.materials, rollout, settings.temperature)}
            reference = self.reference[rollout.number]
        made = graded(self.materials, rollout, list(range(len(rollout))), advantage=advantage_N, counts=counts_N, reference=reference)
        made[0].figures.update(rollout.figures(settings.group_size))
        return made

    def loss(self, network, answers) -> Loss:
        from luthier.models.token_logprobs import token_logprobs

        batch, settings = answers.batch, self.settings
        logprob_BT, entropy_BT = token_logprobs(self.materials.head, network, batch.tokens_BT, batch.weight_BT, batch.attend_BT, temperature=settings.temperature, entropy=True, learn_entropy=bool(settings.entropy))
        total, count, figures = group_loss(logprob_BT, entropy_BT, answers, settings)
        return Loss(total, count, batch.tokens_BT.numel(), {**answers.figures, **figures})

    def validation(self, network, scores) -> tuple[float, float]:
        """The reward on validation prompts, turned round: what is lowest is kept."""
        return (-scores["reward"], 1.0) if "reward" in scores else (0.0, 0.0)

    def finish(self, network) -> None:
        """Nothing was added."""


def group_loss(logprob_BT, entropy_BT, answers, settings: GRPO):
    """Summed loss of a micro-batch, what it is summed over, and figures."""
    import torch

    mask_BT = answers.batch.weight_BT[:, 1:] * answers.counts_B[:, None]
    ratio_BT = torch.exp((logprob_BT - answers.behaviour_BT) * mask_BT)
    clipped_BT = ratio_BT.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    advantage_B1 = answers.advantage_B[:, None]
    token_BT = -torch.minimum(ratio_BT * advantage_B1, clipped_BT * advantage_B1)
    tokens = mask_BT.sum().item()
    was_clipped_BT = ((ratio_BT < 1 - settings.clip_low) & (advantage_B1 < 0)) | ((ratio_BT > 1 + settings.clip_high) & (advantage_B1 > 0))
    figures = {"entropy": ((entropy_BT.detach() * mask_BT).sum().item(), tokens), "clipped": ((was_clipped_BT * mask_BT).sum().item(), tokens)}
    if answers.reference_BT is not None:
        away_BT = (answers.reference_BT - logprob_BT) * mask_BT
        kl_BT = torch.exp(away_BT) - away_BT - 1
        figures["kl"] = ((kl_BT.detach() * mask_BT).sum().item(), tokens)
        token_BT = token_BT + settings.kl * (kl_BT * ratio_BT if settings.kl_by_ratio else kl_BT)
    token_BT = token_BT * mask_BT
    rows = answers.counts_B.sum().item()
    if settings.average == "answer":
        total, count = (token_BT.sum(-1) / mask_BT.sum(-1).clamp(min=1)).sum(), rows
    elif settings.average == "token":
        total, count = token_BT.sum(), tokens
    else:
        total, count = token_BT.sum() / settings.max_answer_tokens, rows
    if settings.entropy:
        total = total - settings.entropy * (entropy_BT * mask_BT).sum() * (1.0 if settings.average == "token" else answers.rows_a_token)
    return total, count, figures


def advantages(rollout, settings: GRPO) -> tuple[list[float], list[float]]:
    """How much better than its group each answer is, and whether it counts; an answer without a reward does not."""
    import numpy as np

    reward_N = np.array([np.nan if value is None else value for value in rollout.rewards])
    advantage_N, counts_N = np.zeros(len(reward_N)), np.isfinite(reward_N).astype(float)
    whole = deviation(reward_N)
    for at in range(0, len(reward_N), settings.group_size):
        group = slice(at, at + settings.group_size)
        known = np.isfinite(reward_N[group])
        if not known.any():
            continue
        own = deviation(reward_N[group])
        divisor = {"group": own + AT_LEAST, "batch": whole + AT_LEAST, "none": 1.0}[settings.scale]
        advantage_N[group] = np.where(known, (reward_N[group] - reward_N[group][known].mean()) / divisor, 0.0)
        if settings.drop_flat_groups and own == 0:
            counts_N[group] = 0.0
    if settings.drop_cut_short:
        counts_N *= np.array(rollout.ended, dtype=float)
    return advantage_N.tolist(), counts_N.tolist()


def deviation(values) -> float:
    """The sample deviation of what is known; 0 where fewer than two values are."""
    import numpy as np

    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else 0.0
