"""Watches a run and says in words what goes wrong: non-finite steps, spikes, no learning, overfitting.

Pure bookkeeping over figures; every comparison is written so that NaN raises the alarm instead of hiding it.
"""
import math
from dataclasses import dataclass, field

from luthier.errors import NonFinite
from luthier.runs.events import Event


def warning(code: str, step: int, message: str) -> Event:
    return Event("warning", f"{message}", {"code": code, "step": step})


@dataclass
class Watch:
    """What the watcher remembers."""

    max_nonfinite: int = 3
    """Steps in a row that may be non-finite; at this many the run stops."""
    spike_factor: float = 3.0
    """A loss above this many times the running mean (and 1 nat above it) is a spike."""
    nonfinite_in_row: int = 0
    """Non-finite steps since the last finite one."""
    running: float | None = None
    """Exponential mean of the training loss (0.9)."""
    train_since_look: list[float] = field(default_factory=list)
    """Training losses since the last look at validation."""
    looks: list[tuple[int, float, float]] = field(default_factory=list)
    """Step, mean training loss and validation loss at each look."""
    told_overfitting: bool = False
    """Whether overfitting has been told since the best look."""

    def step(self, step) -> list[Event]:
        """Alarms of one training step; raises NonFinite after too many in a row."""
        if not step.finite:
            return [self.nonfinite(step)]
        self.nonfinite_in_row = 0
        self.train_since_look.append(step.loss)
        before, self.running = self.running, step.loss if self.running is None else 0.9 * self.running + 0.1 * step.loss
        if before is not None and step.number > 10 and not (step.loss <= max(self.spike_factor * before, before + 1.0)):
            return [warning("T203", step.number, f"the loss jumped to {step.loss:.3g} at step {step.number}, from about {before:.3g}")]
        return []

    def nonfinite(self, step) -> Event:
        self.nonfinite_in_row += 1
        what = f"loss {step.loss}, gradient norm {step.gradient_norm} at step {step.number}; examples {list(step.rows[:8])}"
        if self.nonfinite_in_row >= self.max_nonfinite:
            raise NonFinite(
                f"{self.nonfinite_in_row} steps in a row were not finite: {what}",
                code="T101",
                rows=[row + 1 for row in step.rows[:20]],
                count=len(step.rows),
                hint="lower training.learning_rate, or look at these rows: the last good checkpoint is kept",
            )
        return warning("T101", step.number, f"not finite, update left out: {what}")

    def look(self, step: int, validation: float, baseline: float | None, steps: int) -> list[Event]:
        """Alarms at a look at validation: `baseline` is the untrained model's loss."""
        train = sum(self.train_since_look) / len(self.train_since_look) if self.train_since_look else math.nan
        self.train_since_look = []
        self.looks.append((step, train, validation))
        if not math.isfinite(validation):
            return [warning("T101", step, f"the validation loss is {validation} at step {step}")]
        return [*self.overfitting(step), *self.no_learning(step, validation, baseline, steps)]

    def overfitting(self, step: int) -> list[Event]:
        """Validation rose at two looks in a row while training fell."""
        if len(self.looks) < 3:
            return []
        (first, train0, loss0), (_, train1, loss1), (_, train2, loss2) = self.looks[-3:]
        rising = loss2 > loss1 > loss0 and train2 < train1 < train0
        best_step = min(self.looks, key=lambda look: look[2])[0]
        if not rising:
            return []
        if self.told_overfitting:
            return []
        self.told_overfitting = True
        return [warning("T201", step, f"validation rose after step {first} while training fell: overfitting. The best step is {best_step}, and it is kept")]

    def no_learning(self, step: int, validation: float, baseline: float | None, steps: int) -> list[Event]:
        """Half the run is over and validation is where it was before the first step."""
        if baseline is None or step * 2 < steps or not math.isfinite(baseline) or any(loss < 0.995 * baseline for _, _, loss in self.looks):
            return []
        if len([look for look in self.looks if look[0] * 2 >= steps]) > 1:
            return []
        return [warning("T202", step, f"no learning: validation loss {validation:.4g} at step {step}, {baseline:.4g} before training; raise training.learning_rate or look at the data")]
