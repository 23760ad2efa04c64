"""Abstention: a model that is not sure enough of a label says so instead of giving it.

From which confidence on it answers was chosen by the conformal rule of the calibration probe (`evaluation/probes/calibration.py`) on rows that
training never saw, so that at most the wanted share of the answers given is wrong, at 95 % confidence.
"""
from dataclasses import dataclass

ROUNDING = 1e-6
"""Confidences that differ by less are one: a row's company may move the last digits."""


@dataclass(frozen=True)
class Abstention:
    """When to keep silent."""

    risk: float
    """Largest share of wrong answers among those given."""
    threshold: float
    """The least confidence with which an answer is given."""
    answered: float
    """Share of the rows it was chosen on that were answered."""

    def judged(self, label: str, confidence: float) -> dict:
        """What is told of one answer: the label, or None where the model abstains."""
        silent = confidence < self.threshold - ROUNDING
        return {"label": None if silent else label, "abstained": silent, "confidence": confidence, "threshold": self.threshold}
