"""The one training loop: for every method, every task, every objective; it knows none of them by name.

Noise is keyed by (seed, step, micro-batch), data order by the objective, the learning rate by the number of updates; the loop's own state
is two integers. A step whose loss or gradient is not finite changes no weight, no optimizer state and not the schedule; it is yielded
as it is, so that whoever watches sees it.
"""
import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from luthier.objectives.loss import Objective
from luthier.training.optimizer import average, clip, gradients_of, norm_of, set_rate
from luthier.training.schedule import Schedule


@dataclass(frozen=True)
class Step:
    """What one optimizer step did."""

    number: int
    """1-based."""
    loss: float
    """Mean over what was learned; NaN stays NaN."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    """Of this step."""
    count: float
    """Learned tokens or labels."""
    tokens: int
    """Tokens read, padding included."""
    seconds: float
    """Wall time."""
    updates: int
    """Updates made so far; smaller than `number` where steps were not finite."""
    finite: bool
    """Whether the update was made."""
    rows: tuple[int, ...]
    """Ids of the examples in it."""
    figures: dict[str, float] = field(default_factory=dict)
    """What the objective wants watched, each a mean over the step."""


def key_noise(seed: int, *purpose: int | str) -> None:
    """Seed every generator of torch from (seed, purpose ...): dropout after a resume is the dropout there would have been."""
    torch.manual_seed(int.from_bytes(hashlib.sha256(repr((seed, *purpose)).encode()).digest()[:8], "little") >> 1)


def train(
    network: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    *,
    steps: int,
    seed: int,
    clip_norm: float = 1.0,
    start: int = 0,
    updates: int = 0,
) -> Iterator[Step]:
    """Yield after every optimizer step from `start` + 1 to `steps`; the caller logs, evaluates, saves or stops."""
    batches = objective.batches(network, start)
    for number in range(start + 1, steps + 1):
        began = time.perf_counter()
        micro_batches = next(batches)
        network.train()
        total, count, tokens, rows, figures = 0.0, 0.0, 0, [], {}
        for index, batch in enumerate(micro_batches):
            key_noise(seed, number, index, "dropout")
            loss = objective.loss(network, batch)
            loss.total.backward()
            total, count, tokens = total + loss.total.item(), count + loss.count, tokens + loss.tokens
            rows += [example for row in batch.rows for example in row]
            for name, (value, of) in loss.figures.items():
                before = figures.get(name, (0.0, 0.0))
                figures[name] = (before[0] + value, before[1] + of)
        gradients = gradients_of(network)
        average(gradients, count or 1.0)
        mean, norm, rate = total / (count or 1.0), norm_of(gradients), schedule.rate(updates)
        finite = math.isfinite(mean) and math.isfinite(norm)
        if finite:
            clip(gradients, norm, clip_norm)
            set_rate(optimizer, rate)
            optimizer.step()
            updates += 1
        optimizer.zero_grad(set_to_none=True)
        yield Step(number, mean, norm, rate, count, tokens, time.perf_counter() - began, updates, finite, tuple(rows), {name: value / (of or 1.0) for name, (value, of) in figures.items()})
