"""How well one label per row is chosen: accuracy, and precision, recall and F1 averaged over labels.

F1 of a label = 2 tp / (support + predicted). Macro: the plain mean over the labels that occur among the targets, so that all
contestants on the same rows are averaged over the same labels (an answer outside them counts as wrong, not as one more label).
Weighted: by support. Values come from scikit-learn; resamples from per-row counts, which a test holds equal to scikit-learn.
"""
from collections.abc import Callable, Sequence

import numpy as np

from luthier.metrics.metric import Metric, mean, same_rows

NO_LABEL = "(no label)"


def scores(targets: Sequence[str], predictions: Sequence[str | None]) -> dict[str, Metric]:
    """All figures of single-label classification by name; `None` is an answer that is no label, hence wrong.

    Per-row value: 1 right, 0 wrong. Columns of different or no length are a ValueError.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support  # two seconds, paid only by who scores

    same_rows(targets, predictions)
    labels, target_N = np.unique(np.asarray(targets, dtype=object).astype(str), return_inverse=True)
    number = {label: index for index, label in enumerate(labels)}
    answer_N = np.array([number.get(answer, -1) if answer is not None else -1 for answer in predictions])
    right_N = (target_N == answer_N).astype(np.float64)
    metrics = {"accuracy": mean("accuracy", right_N)}
    assert np.isclose(metrics["accuracy"].value, accuracy_score(target_N, answer_N))
    parts_NS = label_counts(target_N, answer_N, len(labels))
    for average in ("macro", "weighted"):
        values = precision_recall_fscore_support(target_N, answer_N, labels=range(len(labels)), average=average, zero_division=0.0)[:3]
        for kind, value in zip(("precision", "recall", "f1"), values):
            name = f"{average}_{kind}"
            metrics[name] = Metric(name, float(value), right_N, True, parts_NS, averaged(kind, average))
    return metrics


def label_counts(target_N: np.ndarray, answer_N: np.ndarray, num_labels: int) -> np.ndarray:
    """[N, 3 L] per row: one-hot true positive, one-hot target, one-hot answer (no one where the answer is -1)."""
    one_hot_LL = np.eye(num_labels, dtype=np.float32)
    target_NL = one_hot_LL[target_N]
    answer_NL = np.where((answer_N >= 0)[:, None], one_hot_LL[answer_N], 0)
    return np.concatenate([target_NL * answer_NL, target_NL, answer_NL], axis=1).astype(np.float32)


def averaged(kind: str, average: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function from label counts [R, 3 L] to values [R]; a label with no target row in a resample is left out of its mean."""

    def finish(sums_RS: np.ndarray) -> np.ndarray:
        right_RL, target_RL, answer_RL = np.split(np.asarray(sums_RS, dtype=np.float64), 3, axis=1)
        over_RL = {"precision": answer_RL, "recall": target_RL, "f1": (target_RL + answer_RL) / 2}[kind]
        score_RL = np.divide(right_RL, over_RL, out=np.zeros_like(right_RL), where=over_RL > 0)
        weight_RL = target_RL if average == "weighted" else (target_RL > 0)
        return (score_RL * weight_RL).sum(axis=1) / np.maximum(weight_RL.sum(axis=1), 1)

    return finish


def confusion(targets: Sequence[str], predictions: Sequence[str | None]) -> tuple[list[str], np.ndarray]:
    """Labels, and counts [L, L] with targets as lines and answers as columns; answers that are no label stand under `(no label)`."""
    same_rows(targets, predictions)
    answers = [NO_LABEL if answer is None else answer for answer in predictions]
    outside = NO_LABEL in answers
    labels = sorted(({*targets, *answers}) - {NO_LABEL}) + [NO_LABEL] * outside
    number = {label: index for index, label in enumerate(labels)}
    cells = [number[target] * len(labels) + number[answer] for target, answer in zip(targets, answers)]
    return labels, np.bincount(cells, minlength=len(labels) ** 2).reshape(len(labels), len(labels))
