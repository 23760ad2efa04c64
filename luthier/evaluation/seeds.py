"""Several trainings of one recipe: one figure, and an interval that holds the spread between seeds besides the luck of the rows.

Rows are drawn as always, for the mean over seeds. Between seeds the K values spread with s^2, and the mean of K has s^2 / K of it. Half the
interval is the root of the sum of both halves squared, each with its own Student's t (K - 1 degrees of freedom for the seeds: three say
little about a spread). Pooling the degrees of freedom (Satterthwaite 1946) was tried: with three seeds it covers 92 %, not 95 %.
Axes: N rows, S parts of a metric, K seeds.
"""
import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy

from luthier.evaluation.statistics import Difference, Interval
from luthier.metrics.metric import Metric


def mean_of(metrics: Sequence[Metric]) -> Metric:
    """The mean of one figure over K seeds, on the same rows; it can be drawn again like any other. One metric is itself."""
    first = metrics[0]
    if len(metrics) == 1:
        return first
    if len({(one.name, one.parts_NS.shape) for one in metrics}) != 1:
        raise ValueError("seeds can be averaged only where they have the same figure on the same rows")
    width, count = first.parts_NS.shape[1], len(metrics)

    def finish(sums_RW: np.ndarray) -> np.ndarray:
        return sum(metrics[k].finish(sums_RW[:, k * width : (k + 1) * width]) for k in range(count)) / count

    value = float(np.mean([one.value for one in metrics]))
    per_row = np.mean([one.per_row for one in metrics], axis=0)
    return Metric(first.name, value, per_row, first.higher_is_better, np.concatenate([one.parts_NS for one in metrics], axis=1), finish)


def repeated(metric: Metric, count: int) -> Metric:
    """One contestant beside a mean over `count` seeds: the same figure, with as many parts, so that the two can be compared row by row."""
    return mean_of([metric] * count)


def spread(values: Sequence[float]) -> float:
    """Variance of the mean of these seeds' values that comes from the seeds; 0 for a single one."""
    return float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0


def widened(found: Interval | Difference, values: Sequence[float], num_rows: int, standard_error: float, confidence: float) -> Interval | Difference:
    """The same interval with the spread between seeds in it; both ends move out by one factor, so that its skew stays."""
    between = spread(values)
    if between <= 0 or not np.isfinite(found.low) or num_rows < 2:
        return found
    share = (1 + confidence) / 2
    alone = scipy.stats.t.ppf(share, num_rows - 1) * standard_error
    half = np.hypot(alone, scipy.stats.t.ppf(share, len(values) - 1) * np.sqrt(between))
    if alone > 0:
        ends = {"low": found.value - (found.value - found.low) * half / alone, "high": found.value + (found.high - found.value) * half / alone}
    else:
        ends = {"low": found.value - half, "high": found.value + half}
    more = {"standard_error": float(np.hypot(standard_error, np.sqrt(between)))} if isinstance(found, Difference) else {}
    return dataclasses.replace(found, **ends, **more)
