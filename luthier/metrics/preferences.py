"""Figures about pairs of answers: whether length alone explains who is preferred.

length_bias = accuracy where the better answer is the longer one - accuracy where it is the shorter one (Singhal et al. 2023, arXiv:2310.03716; Dubois et al.
2024, arXiv:2404.04475). 0: length plays no part; 1: the longer answer is always preferred; -1: always the shorter. Pairs of equal length count for neither.
"""
from collections.abc import Sequence

import numpy as np

from luthier.metrics.metric import Metric, from_parts, same_rows


def length_bias(right: Sequence[float], longer: Sequence[int]) -> Metric | None:
    """`right`: 1, a half for a tie, or 0 for each pair; `longer`: by how much the better answer is longer. None where one of the two kinds has no pair."""
    same_rows(right, longer)
    right_N, longer_N = np.asarray(right, dtype=np.float64), np.asarray(longer)
    up_N, down_N = (longer_N > 0).astype(float), (longer_N < 0).astype(float)
    if not up_N.any() or not down_N.any():
        return None
    return from_parts("length_bias", np.stack([right_N * up_N, up_N, right_N * down_N, down_N], axis=1), apart, per_row=right_N * np.sign(longer_N), higher_is_better=False)


def apart(sums_RS: np.ndarray) -> np.ndarray:
    """Accuracy on the first kind minus that on the second, of sums [R, 4]; NaN where a resample has none of one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_RS[:, 0] / sums_RS[:, 1] - sums_RS[:, 2] / sums_RS[:, 3]


def shares(metric: Metric) -> dict:
    """`{longer: {n, value}, shorter: {n, value}}`: accuracy on both kinds of pairs."""
    right_up, up, right_down, down = metric.parts_NS.sum(axis=0).tolist()
    return {"longer": {"n": int(up), "value": right_up / up}, "shorter": {"n": int(down), "value": right_down / down}}
