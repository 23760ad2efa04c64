"""The learning rate as a pure function of the number of updates made: nothing to save, nothing to restore."""
import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to `peak`, then linear or cosine fall to 0 at `steps`, or constant."""

    peak: float
    """Largest learning rate."""
    steps: int
    """Updates in the whole run."""
    warmup: int
    """Updates over which the rate rises."""
    shape: Literal["linear", "cosine", "constant"]
    """How it falls."""

    def rate(self, updates: int) -> float:
        """The rate of the update that follows `updates` earlier ones."""
        if updates < self.warmup:
            return self.peak * (updates + 1) / self.warmup
        if self.shape == "constant":
            return self.peak
        done = (updates - self.warmup) / max(1, self.steps - self.warmup)
        left = max(0.0, 1.0 - done)
        return self.peak * (left if self.shape == "linear" else 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


@dataclass(frozen=True)
class Exponential:
    """From `low` to `high`, each update the same factor further: for a range test."""

    low: float
    high: float
    steps: int

    def rate(self, updates: int) -> float:
        """The rate of the update that follows `updates` earlier ones."""
        return self.low * (self.high / self.low) ** (updates / max(1, self.steps - 1))


def warmup_steps(warmup: float, steps: int) -> int:
    """A warm-up given as a share of the run (below 1) or as steps."""
    return round(warmup * steps) if warmup < 1 else int(warmup)
