"""How near predicted numbers come: mean absolute error, root mean squared error, rank correlation (Spearman), share of variance explained, and intervals.

Spearman's rho is Pearson's correlation of ranks, ties sharing their mean rank. A resample keeps the ranks of all rows.

Axes: N rows.
"""
from collections.abc import Sequence

import numpy as np

from luthier.metrics.metric import Metric, from_parts, mean, same_rows


def scores(targets: Sequence[float], answers: Sequence[float], intervals: Sequence[tuple[float, float] | None] = ()) -> dict[str, Metric]:
    """mae, rmse, spearman, r2; with intervals also how many hold their target (coverage) and how wide they are."""
    same_rows(targets, answers)
    target_N, answer_N = np.asarray(targets, dtype=np.float64), np.asarray(answers, dtype=np.float64)
    error_N = np.abs(target_N - answer_N)
    squares_NS = np.stack([error_N**2, np.ones_like(error_N)], axis=1)
    found = {
        "mae": mean("mae", error_N, higher_is_better=False),
        "rmse": from_parts("rmse", squares_NS, lambda sums: np.sqrt(sums[:, 0] / np.maximum(sums[:, 1], 1)), per_row=error_N, higher_is_better=False),
        "spearman": correlation("spearman", ranks(target_N), ranks(answer_N)),
        "r2": explained(target_N, answer_N),
    }
    if intervals and all(interval is not None for interval in intervals):
        low_N, high_N = (np.array([interval[side] for interval in intervals]) for side in (0, 1))
        found["coverage"] = mean("coverage", ((low_N <= target_N) & (target_N <= high_N)).astype(float))
        found["interval_width"] = mean("interval_width", high_N - low_N, higher_is_better=False)
    return found


def ranks(values_N: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def correlation(name: str, one_N: np.ndarray, other_N: np.ndarray) -> Metric:
    """Pearson's correlation, made of sums; 0 where one side does not vary."""
    one_N, other_N = one_N - one_N.mean(), other_N - other_N.mean()
    parts_NS = np.stack([one_N, other_N, one_N**2, other_N**2, one_N * other_N, np.ones_like(one_N)], axis=1)
    spread = one_N.std() * other_N.std()
    return from_parts(name, parts_NS, pearson, per_row=one_N * other_N / spread if spread else np.zeros_like(one_N))


def pearson(sums_RS: np.ndarray) -> np.ndarray:
    """Correlation [R] of sums [R, x, y, xx, yy, xy, n]."""
    x, y, xx, yy, xy, n = np.maximum(sums_RS, [-np.inf] * 5 + [1]).T
    over = np.sqrt(np.maximum(xx / n - (x / n) ** 2, 0) * np.maximum(yy / n - (y / n) ** 2, 0))
    return np.divide(xy / n - x * y / n**2, over, out=np.zeros_like(over), where=over > 1e-12)


def explained(target_N: np.ndarray, answer_N: np.ndarray) -> Metric:
    """1 - squared error / variance of the targets; 0 for who always answers their mean, below for who does worse."""
    parts_NS = np.stack([(target_N - answer_N) ** 2, target_N, target_N**2, np.ones_like(target_N)], axis=1)

    def finish(sums_RS: np.ndarray) -> np.ndarray:
        error, total, squares, n = np.maximum(sums_RS, [0, -np.inf, 0, 1]).T
        variance = np.maximum(squares - total**2 / n, 0)
        return np.divide(variance - error, variance, out=np.zeros_like(variance), where=variance > 1e-12)

    return from_parts("r2", parts_NS, finish, per_row=-((target_N - answer_N) ** 2))
