"""Proximal policy optimisation with a value of every token (arXiv:1707.06347, arXiv:1909.08593).

The reward of a token is -kl * (log p when written - log p of the starting model), and the answer's own reward is added at its last token. With value V and
the temporal differences d_t = r_t + gamma V_t+1 - V_t, the advantage is A_t = sum over l of (gamma lambda)^l d_t+l (GAE, arXiv:1506.02438), made to
mean 0 and deviation 1 over the rollout. A token costs -min(ratio A, clip(ratio) A) + value_weight / 2 * max((V - R)^2, (clipped V - R)^2)
- entropy * H, R = A + V when written. Several passes are made over a rollout; kl follows its aim: kl *= 1 + clip(KL / aim - 1, +-0.2) * answers / 1,000.

The value is a linear layer on the last hidden state. While it learns it is a module of the network, so optimizer, clipping and checkpoints hold it;
`finish` takes it off, and the saved model has no trace of it.
"""
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from luthier.data.records import Prompt
from luthier.objectives.loss import Loss
from luthier.objectives.writing import Writing

VALUE = "value_head"
PASSES = 8  # the purpose of the random stream that deals a rollout's answers to minibatches


@dataclass
class PPO(Writing):
    """Write an answer to each prompt and learn token by token from how much better it went than expected."""

    name: ClassVar[str] = "ppo"
    rate_factor: ClassVar[float] = 0.2
    examples_a_unit: ClassVar[int] = 1
    learns_tokens: ClassVar[bool] = False
    record: ClassVar[type | None] = Prompt

    group_size: Annotated[int, Ge(1)] = 1
    """Answers to each prompt; `training.batch_size` counts prompts."""
    passes: Annotated[int, Ge(1)] = 4
    """Times that each answer is learned from."""
    minibatches: Annotated[int, Ge(1)] = 1
    """Optimizer steps of one pass."""
    kl: Annotated[float, Ge(0)] = 0.05
    """How strongly the starting model holds, at the start."""
    kl_aim: Annotated[float, Ge(0)] = 6.0
    """KL of an answer, in nats, that kl is steered to; 0 leaves kl as it is."""
    gamma: Annotated[float, Gt(0), Le(1)] = 1.0
    """How much later tokens count."""
    smoothing: Annotated[float, Ge(0), Le(1)] = 0.95
    """GAE's lambda: 0 trusts the value of the next token, 1 what really came."""
    clip: Annotated[float, Gt(0), Le(1)] = 0.2
    """A token's probability counts from 1 - this to 1 + this of what it was."""
    value_clip: Annotated[float, Gt(0)] = 0.2
    """A value may move so far from what it was when written."""
    value_weight: Annotated[float, Ge(0)] = 0.1
    """Weight of learning the value beside the policy."""
    entropy: Annotated[float, Ge(0)] = 0.0
    """Weight of keeping answers varied."""
    whiten: bool = True
    """Bring advantages to mean 0 and deviation 1 over the rollout."""

    def prepared(self, materials) -> "PreparedPPO":
        """Puts a value layer of zeros onto the network and takes the starting model along."""
        import torch

        from luthier.models.heads import transformer_of
        from luthier.objectives.rollouts import take_along  # torch

        if self.kl:
            take_along(materials)
        network = materials.network
        width = transformer_of(network).get_input_embeddings().weight.shape[1]
        value = torch.nn.Linear(width, 1, device=materials.language_model.device)
        torch.nn.init.zeros_(value.weight)
        torch.nn.init.zeros_(value.bias)
        network.add_module(VALUE, value)
        return PreparedPPO(self, materials)


class PreparedPPO:
    """PPO over its own rollouts."""

    def __init__(self, settings: PPO, materials):
        from luthier.objectives.rollouts import Rollouts

        self.settings, self.materials = settings, materials
        self.updates = settings.passes * settings.minibatches
        self.rollouts = Rollouts(materials, settings, updates=self.updates, noted=self.noted)

    @property
    def steps_per_epoch(self) -> int:
        return self.rollouts.steps_per_epoch

    # ---- a rollout ----------------------------------------------------------------------------
    def noted(self, rollout) -> dict:
        """Values, advantages and returns of a new rollout, and the strength of the KL that it was judged by."""
        from luthier.objectives.rollouts import of_tokens, under_start

        network, settings = self.materials.network, self.settings
        network.eval()
        values = of_tokens(self.materials, rollout, lambda batch: self.read(network, batch)[1])
        reference = under_start(self.materials, rollout, settings.temperature) if settings.kl else rollout.logprobs
        strength = self.strength(rollout.number)
        drift = [sum(own - start for own, start in zip(*pair, strict=True)) for pair in zip(rollout.logprobs, reference, strict=True)]
        advantages, returns = [], []
        for logprobs, start, value, reward in zip(rollout.logprobs, reference, values, rollout.rewards, strict=True):
            rewards = [-strength * (own - before) for own, before in zip(logprobs, start, strict=True)]
            rewards[-1] += reward or 0.0
            advantage = generalised(rewards, value, settings.gamma, settings.smoothing)
            advantages.append(advantage)
            returns.append([a + v for a, v in zip(advantage, value, strict=True)])
        counts = [0.0 if reward is None else 1.0 for reward in rollout.rewards]
        if settings.whiten:
            advantages = whitened(advantages, counts)
        return {"values": values, "advantages": advantages, "returns": returns, "counts": counts, "kl_strength": strength, "kl": sum(drift) / len(drift)}

    def strength(self, number: int) -> float:
        """How strongly the starting model holds at a rollout: steered by what the one before it measured."""
        if number == 0 or not self.settings.kl:
            return self.settings.kl
        before = self.rollouts.current if self.rollouts.current is not None and self.rollouts.current.number == number - 1 else self.rollouts.read(number - 1)
        return steered(before.notes["kl_strength"], before.notes["kl"], self.settings.kl_aim, len(before))

    def batches(self, network, start: int):
        step = start
        while True:
            yield self.micro_batches(self.rollouts.of_step(network, step), step)
            step += 1

    def micro_batches(self, rollout, step: int) -> list:
        """The answers of one update in micro-batches."""
        from luthier.objectives.rollouts import graded
        from luthier.preparation.order import permutation

        turn, part = divmod(step % self.updates, self.settings.minibatches)
        dealt = permutation(len(rollout), self.materials.seed, rollout.number, PASSES, turn).tolist()
        chosen = sorted(dealt[part :: self.settings.minibatches])
        notes = rollout.notes
        made = graded(self.materials, rollout, chosen, advantage=[0.0] * len(rollout), counts=notes["counts"], reference=None, more={name: notes[name] for name in ("advantages", "values", "returns")})
        made[0].figures.update(rollout.figures(self.settings.group_size) | {"kl": (notes["kl"], 1.0), "kl_strength": (notes["kl_strength"], 1.0)})
        return made

    # ---- the loss -----------------------------------------------------------------------------
    def read(self, network, batch):
        """Log-probability, value and entropy of each learned token, [B, T - 1] each, from one pass."""
        from luthier.models.token_logprobs import token_logprobs_and_states

        logprob_BT, entropy_BT, states_BTD = token_logprobs_and_states(self.materials.head, network, batch.tokens_BT, batch.weight_BT, batch.attend_BT, temperature=self.settings.temperature, learn_entropy=bool(self.settings.entropy))
        layer = network.get_submodule(VALUE)
        value_BT = layer(states_BTD.to(layer.weight.dtype))[..., 0] * (batch.weight_BT[:, 1:] != 0)
        return logprob_BT, value_BT, entropy_BT

    def loss(self, network, answers) -> Loss:
        logprob_BT, value_BT, entropy_BT = self.read(network, answers.batch)
        total, count, figures = clipped_loss(logprob_BT, value_BT, entropy_BT, answers, self.settings)
        return Loss(total, count, answers.batch.tokens_BT.numel(), {**answers.figures, **figures})

    def validation(self, network, scores) -> tuple[float, float]:
        """The reward on validation prompts, turned round: what is lowest is kept."""
        return (-scores["reward"], 1.0) if "reward" in scores else (0.0, 0.0)

    def finish(self, network) -> None:
        """Take the value layer off."""
        delattr(network, VALUE)


def generalised(rewards: list[float], values: list[float], gamma: float, smoothing: float) -> list[float]:
    """The advantage of each token of one answer; behind the last there is nothing."""
    found, after, ahead = [0.0] * len(rewards), 0.0, 0.0
    for at in range(len(rewards) - 1, -1, -1):
        ahead = rewards[at] + gamma * after - values[at] + gamma * smoothing * ahead
        found[at], after = ahead, values[at]
    return found


def whitened(advantages: list[list[float]], counts: list[float]) -> list[list[float]]:
    """Mean 0 and deviation 1 over all tokens of the answers that count."""
    import numpy as np

    flat = np.array([value for row, count in zip(advantages, counts, strict=True) if count for value in row])
    if len(flat) < 2:
        return advantages
    mean, deviation = flat.mean(), flat.std()
    return [[float((value - mean) / (deviation + 1e-8)) for value in row] for row in advantages]


def steered(strength: float, measured: float, aim: float, answers: int) -> float:
    """The next strength of the KL: more where the model went further than the aim, at most a fifth of a thousandth an answer."""
    if not aim:
        return strength
    return strength * (1 + max(-0.2, min(0.2, measured / aim - 1)) * answers / 1000)


def clipped_loss(logprob_BT, value_BT, entropy_BT, answers, settings: PPO):
    """Summed loss of a micro-batch over its tokens, their number, and figures."""
    import torch

    mask_BT = answers.batch.weight_BT[:, 1:] * answers.counts_B[:, None]
    advantage_BT, before_BT, return_BT = (answers.more[name] for name in ("advantages", "values", "returns"))
    ratio_BT = torch.exp((logprob_BT - answers.behaviour_BT) * mask_BT)
    policy_BT = -torch.minimum(ratio_BT * advantage_BT, ratio_BT.clamp(1 - settings.clip, 1 + settings.clip) * advantage_BT)
    near_BT = before_BT + (value_BT - before_BT).clamp(-settings.value_clip, settings.value_clip)
    value_loss_BT = 0.5 * torch.maximum((value_BT - return_BT) ** 2, (near_BT - return_BT) ** 2)
    token_BT = (policy_BT + settings.value_weight * value_loss_BT - settings.entropy * entropy_BT) * mask_BT
    tokens = mask_BT.sum().item()
    outside_BT = ((ratio_BT < 1 - settings.clip) & (advantage_BT < 0)) | ((ratio_BT > 1 + settings.clip) & (advantage_BT > 0))
    figures = {
        "entropy": ((entropy_BT.detach() * mask_BT).sum().item(), tokens), "clipped": ((outside_BT * mask_BT).sum().item(), tokens),
        "value_loss": ((value_loss_BT.detach() * mask_BT).sum().item(), tokens), "policy_loss": ((policy_BT.detach() * mask_BT).sum().item(), tokens),
    }
    return token_BT.sum(), tokens, figures
