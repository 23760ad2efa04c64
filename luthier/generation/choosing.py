"""How one row of a running batch chooses its next token: greedy or sampled, with biases, penalties and a grammar, and what it tells of likelihoods.

The noise of a sampled token is a pure function of (seed, choice, step): neither the company of a row nor the order of requests touches it.
"""
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

FIRST_CANDIDATES = 512
"""Candidates looked at before the whole vocabulary is sorted."""


class Grammar(Protocol):
    """What a text may be."""

    def allowed(self) -> np.ndarray:
        """Booleans [V]: which tokens may come next; the end token where the text may end."""

    def take(self, token: int) -> None:
        """Go on by one token."""


@dataclass
class Choosing:
    """The way one row chooses."""

    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    choice: int = 0
    """Which of several answers to one prompt this is: part of the key of its noise."""
    presence_penalty: float = 0.0
    """Taken off the logit of every token that was written."""
    frequency_penalty: float = 0.0
    """Taken off once for every time it was written."""
    bias: dict[int, float] = field(default_factory=dict)
    """Added to the logits of these tokens."""
    logprobs: int | None = None
    """How many of the likeliest tokens to tell at every step; None tells nothing."""
    grammar: Grammar | None = None

    @property
    def whole(self) -> bool:
        """Whether it draws from all that there is, so that nothing has to be sorted."""
        return self.temperature > 0 and self.top_p >= 1 and not self.top_k

    @property
    def plain(self) -> bool:
        """Whether the logits are taken as they come."""
        return not (self.presence_penalty or self.frequency_penalty or self.bias or self.grammar)

    def changed(self, logits_V: Tensor, tokens: Sequence[int]) -> Tensor:
        """The logits with bias, penalties and grammar."""
        if self.plain:
            return logits_V
        logits_V = logits_V.clone()
        if self.bias:
            logits_V[torch.tensor(list(self.bias))] += torch.tensor(list(self.bias.values()))
        if (self.presence_penalty or self.frequency_penalty) and tokens:
            counts = Counter(tokens)
            logits_V[torch.tensor(list(counts))] -= self.presence_penalty + self.frequency_penalty * torch.tensor(list(counts.values()), dtype=logits_V.dtype)
        if self.grammar is not None:
            allowed = torch.from_numpy(self.grammar.allowed())[: len(logits_V)]
            logits_V[: len(allowed)].masked_fill_(~allowed, -math.inf)
            logits_V[len(allowed):] = -math.inf
        return logits_V


@dataclass(frozen=True)
class Likelihood:
    """How likely a chosen token and the likeliest ones were, before any temperature."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def likelihood(logits_V: Tensor, token: int, top: int) -> Likelihood:
    """Log-probabilities in nats under the model's own logits."""
    logprobs = logits_V.double().log_softmax(-1)
    best = logprobs.topk(top) if top else None
    pairs = () if best is None else tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return Likelihood(token, logprobs[token].item(), pairs)


def noise_of(choosing: Choosing, step: int) -> float:
    """A number from 0 to 1 that belongs to a row's step alone."""
    return np.random.Generator(np.random.Philox(key=[choosing.seed & (2**64 - 1), choosing.choice], counter=[step, 0, 0, 0])).random()


def drawn(logits_NV: Tensor, choosings: Sequence[Choosing], steps: Sequence[int]) -> list[int]:
    """One token for each of many rows that draw from all there is, in a handful of operations for all of them."""
    temperature_N1 = torch.tensor([[choosing.temperature] for choosing in choosings], dtype=torch.float64)
    noise_N1 = torch.tensor([[noise_of(choosing, step)] for choosing, step in zip(choosings, steps, strict=True)], dtype=torch.float64)
    sums_NV = (logits_NV.double() / temperature_N1).softmax(-1).cumsum(-1)
    found_N1 = torch.searchsorted(sums_NV, noise_N1 * sums_NV[:, -1:], right=True)
    return found_N1[:, 0].clamp(max=sums_NV.shape[1] - 1).tolist()


def sample(logits_V: Tensor, choosing: Choosing, step: int) -> int:
    """One token from the kept part of the distribution."""
    if choosing.whole:
        return drawn(logits_V[None], [choosing], [step])[0]
    noise = noise_of(choosing, step)
    probability_V = (logits_V.double() / choosing.temperature).softmax(-1)
    count = choosing.top_k or FIRST_CANDIDATES
    for size in (min(count, len(probability_V)), len(probability_V)):
        kept, order = probability_V.topk(size)
        sums = kept.cumsum(-1).numpy()
        total = sums[-1] if choosing.top_k else 1.0
        if choosing.top_k or sums[-1] >= choosing.top_p or size == len(probability_V):
            break
    last = len(sums) if choosing.top_p >= 1 else min(len(sums), int(np.searchsorted(sums, choosing.top_p * total)) + 1)
    return int(order[min(int(np.searchsorted(sums[:last], noise * sums[last - 1], side="right")), last - 1)])
