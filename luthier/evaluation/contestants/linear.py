"""Logistic regression over any vectors, fitted so that it cannot stop before it has learned."""
from collections.abc import Sequence

import numpy as np

from luthier.errors import WorkFailed
from luthier.tasks.answers import Answer

MOST_ROWS = 50_000
"""Training rows used at most: more take long and move this contestant little."""


def chosen(num_rows: int, seed: int) -> np.ndarray:
    """Numbers of the rows to learn from: all, or a seeded choice of MOST_ROWS."""
    if num_rows <= MOST_ROWS:
        return np.arange(num_rows)
    return np.sort(np.random.default_rng(seed).choice(num_rows, MOST_ROWS, replace=False))


def note_of(num_rows: int) -> str:
    """On how many rows it learned."""
    return f"learned from {min(num_rows, MOST_ROWS):,} of {num_rows:,} training rows"


class LinearClassifier:
    """Labels with probabilities from vectors [N, D]."""

    def __init__(self, vectors_ND, labels: Sequence[str], *, strength: float):
        self.labels = sorted(set(labels))
        self.model = None
        if len(self.labels) > 1:
            from sklearn.linear_model import LogisticRegression  # two seconds, paid only by who uses it

            # The gradient it starts with shrinks with the number of labels, so a fixed tolerance would stop before the first step.
            self.model = LogisticRegression(C=strength, max_iter=200, tol=min(1e-3, 0.02 / len(self.labels)))
            self.model.fit(vectors_ND, np.asarray(labels, dtype=object).astype(str))
            if not self.model.n_iter_.max():
                raise WorkFailed("the linear contestant learned nothing: its solver stopped before the first step", code="E130")

    def answers(self, vectors_ND) -> list[Answer]:
        """One answer per line of vectors."""
        if self.model is None:
            return [Answer(self.labels[0], label=self.labels[0], probabilities={self.labels[0]: 1.0}) for _ in range(vectors_ND.shape[0])]
        shares_NL = self.model.predict_proba(vectors_ND)
        names = [str(label) for label in self.model.classes_]
        return [
            Answer(names[best], label=names[best], probabilities=dict(zip(names, shares_L.tolist())))
            for best, shares_L in zip(shares_NL.argmax(axis=1), shares_NL)
        ]
