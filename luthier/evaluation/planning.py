"""The smallest difference that a test set can show, from what the first contestants already answered on it."""
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from luthier.evaluation.statistics import detectable, detectable_before, resampled
from luthier.metrics.metric import Metric

PLANNING_RESAMPLES = 500
"""Enough for a standard error; intervals use more."""


def minimum_detectable(metrics: Sequence[Metric], *, confidence: float = 0.95, seed: int = 0) -> float | None:
    """In the metric's unit, at 80 % power, before anyone is tuned; None without a finite metric.

    The tuned model will differ from the best of these about as two of these differ from each other: the median spread of their paired
    differences is taken. A single contestant gives its own spread twice, as if the two had nothing in common, which is cautious.
    """
    metrics = [metric for metric in metrics if np.isfinite(metric.value)]
    if not metrics:
        return None
    values_MR = resampled(metrics, PLANNING_RESAMPLES, seed)
    if len(metrics) == 1:
        spreads = [float(np.nanstd(values_MR[0])) * np.sqrt(2)]
    else:
        spreads = [float(np.nanstd(one_R - other_R)) for one_R, other_R in combinations(values_MR, 2)]
    spreads = [spread for spread in spreads if spread > 0]
    return detectable(float(np.median(spreads)), confidence=confidence) if spreads else detectable_before(len(metrics[0]), confidence=confidence)
