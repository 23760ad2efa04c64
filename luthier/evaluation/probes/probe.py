"""What a probe is given, and what it finds: a figure before and after tuning, how much worse it got with an interval, and a red line."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from luthier.evaluation.statistics import difference
from luthier.metrics.metric import Metric
from luthier.tasks.answers import Answer


@dataclass(frozen=True)
class Model:
    """A model as probes see it."""

    respond: Callable[[Sequence, Sequence | None], list[Answer]]
    """Answers to records, as contestants ask."""
    nats: Callable[[Sequence[str]], list[float]] | None
    """Summed negative log-likelihood of each text; None for a model that predicts no text."""
    target_nats: Callable[[Sequence], list[tuple[float, int]]]
    """Per record, nats of its wanted answer and how many tokens that has."""
    continued: Callable[[Sequence[tuple[object, str]]], list[str]] | None = None
    """What is written after the beginning of a record's answer (of its text, where it is a text), greedily; None for a model that writes none."""


@dataclass(frozen=True)
class Subject:
    """A run under examination."""

    task: object
    before: Model
    """The base."""
    after: Model
    """The tuned model."""
    train: Sequence
    held_out: Sequence
    """Rows that training never saw, of the same kind."""
    answers: tuple[Sequence[Answer], Sequence[Answer]]
    """Of the base and of the tuned model, to the held-out rows."""
    settings: object
    """`ProbeSettings`."""
    canaries: Sequence[dict] = ()
    """What was planted in the training rows, and as much that was not."""
    others: Sequence[Sequence[Answer]] = ()
    """Answers to the held-out rows by tuned models of other seeds."""
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """One figure of a probe."""

    name: str
    """As a gate spells it."""
    before: float | None
    """Of the base."""
    after: float | None
    """Of the tuned model."""
    value: float
    """What a gate compares: how much worse it got, or the figure itself where only that makes sense; larger is worse."""
    low: float
    high: float
    """The value's 95 % interval."""
    n: int
    """Rows, texts or pairs behind it."""
    red_line: float | None
    """Above it somebody should look; None where there is no general one."""
    sentence: str
    """What was found, in words."""
    details: dict = field(default_factory=dict)
    """What a reader may want beside it."""

    @property
    def crossed(self) -> bool:
        """Whether the value is surely above the red line."""
        return self.red_line is not None and self.low > self.red_line

    def to_dict(self) -> dict:
        return {**vars(self), "crossed": self.crossed}


def worse_by(name: str, before: Metric, after: Metric, words: str, *, red_line: float | None, seed: int = 0, details: dict | None = None) -> Found:
    """How much worse a figure got on the same rows; positive is worse whatever the figure's direction."""
    found = difference(before, after, seed=seed)
    sentence = f"{words}: {before.value:.3f} before, {after.value:.3f} after; worse by {found.value:+.3f} (95 % interval {found.low:+.3f} to {found.high:+.3f}, n = {len(before)})"
    return Found(name, before.value, after.value, found.value, found.low, found.high, len(before), red_line, sentence, details or {})


def resampled_interval(statistic: Callable[[np.random.Generator], float], *, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of a statistic that draws its own resample."""
    random = np.random.default_rng((seed, 7))
    values = np.array([statistic(random) for _ in range(rounds)])
    values = values[np.isfinite(values)]
    return (float("nan"), float("nan")) if not len(values) else tuple(float(end) for end in np.quantile(values, (0.025, 0.975)))
