"""How well sets of labels are chosen: F1 over all decisions together (micro) and averaged over labels (macro), exact sets, Hamming loss.

Axes: N rows, L labels.
"""
from collections.abc import Sequence

import numpy as np

from luthier.metrics.classification import averaged
from luthier.metrics.metric import Metric, from_parts, mean, same_rows


def scores(targets: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> dict[str, Metric]:
    """macro_f1, micro_f1, exact_sets, hamming_loss; macro over the labels that occur among the targets. A row where nothing applies and nothing is answered is right."""
    same_rows(targets, answers)
    labels = sorted({label for row in (*targets, *answers) for label in row})
    number = {label: index for index, label in enumerate(labels)}
    target_NL, answer_NL = (one_hot(rows, number) for rows in (targets, answers))
    parts_NS = np.concatenate([target_NL * answer_NL, target_NL, answer_NL], axis=1)
    exact_N = (target_NL == answer_NL).all(1).astype(float)
    both_N, sum_N = (target_NL * answer_NL).sum(1), (target_NL + answer_NL).sum(1)
    row_f1 = np.where(sum_N > 0, 2 * both_N / np.maximum(sum_N, 1), 1.0)
    return {
        "macro_f1": from_parts("macro_f1", parts_NS, averaged("f1", "macro"), per_row=row_f1),
        "micro_f1": from_parts("micro_f1", parts_NS, micro_f1, per_row=row_f1),
        "exact_sets": mean("exact_sets", exact_N),
        "hamming_loss": mean("hamming_loss", (target_NL != answer_NL).mean(1) if labels else np.zeros(len(targets)), higher_is_better=False),
    }


def one_hot(rows: Sequence[Sequence[str]], number: dict[str, int]) -> np.ndarray:
    """[N, L] 1 where a label applies; one column of zeros where there is no label at all."""
    found_NL = np.zeros((len(rows), max(1, len(number))))
    for at, row in enumerate(rows):
        for label in row:
            found_NL[at, number[label]] = 1.0
    return found_NL


def micro_f1(sums_RS: np.ndarray) -> np.ndarray:
    """F1 [R] over all decisions of counts [R, 3 L]."""
    right_R, target_R, answer_R = (part.sum(1) for part in np.split(np.asarray(sums_RS, dtype=np.float64), 3, axis=1))
    return np.divide(2 * right_R, target_R + answer_R, out=np.zeros_like(right_R), where=target_R + answer_R > 0)
