"""Whether confidence means anything: expected calibration error, and the temperature that mends it (Guo et al., arXiv:1706.04599).

ECE = sum over bins of |right answers - sum of confidences| / rows, over 15 bins of equal width of the confidence in the chosen label.
Temperature T divides log-probabilities before they are normalised again: above 1 a model becomes less sure; the chosen label stays the same.

Axes: N rows, L labels, M bins.
"""
from collections.abc import Sequence

import numpy as np

from luthier.metrics.metric import Metric, from_parts

BINS = 15
LOWEST, HIGHEST = 0.05, 20.0


def ece(confidences: Sequence[float], right: Sequence[float], *, bins: int = BINS) -> Metric:
    """Expected calibration error, 0 to 1, lower is better; per row the distance of its confidence from having been right."""
    sure_N, right_N = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place_N = bin_of(sure_N, bins)
    parts_NS = np.zeros((len(sure_N), bins + 1))
    parts_NS[np.arange(len(sure_N)), place_N] = right_N - sure_N
    parts_NS[:, bins] = 1.0
    return from_parts("ece", parts_NS, gap_of, per_row=np.abs(right_N - sure_N), higher_is_better=False)


def gap_of(sums_RS: np.ndarray) -> np.ndarray:
    """ECE [R] of sums [R, M + 1]."""
    return np.abs(sums_RS[:, :-1]).sum(1) / np.maximum(sums_RS[:, -1], 1)


def bin_of(confidences: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Which bin each confidence falls in; a bin holds its upper edge."""
    return np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)


def diagram(confidences: Sequence[float], right: Sequence[float], *, bins: int = 10) -> list[dict]:
    """The filled bins of a reliability diagram: {low, high, rows, confidence, accuracy}."""
    sure_N, right_N = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place_N = bin_of(sure_N, bins)
    return [
        {"low": at / bins, "high": (at + 1) / bins, "rows": int((place_N == at).sum()), "confidence": float(sure_N[place_N == at].mean()), "accuracy": float(right_N[place_N == at].mean())}
        for at in range(bins) if (place_N == at).any()
    ]


def mean_nll(logits_NL: np.ndarray, target_N: np.ndarray, temperature: float) -> float:
    """Mean negative log-likelihood in nats of the right labels at a temperature."""
    scaled_NL = logits_NL / temperature
    return float((np.logaddexp.reduce(scaled_NL, axis=1) - scaled_NL[np.arange(len(target_N)), target_N]).mean())


def fit_temperature(logits_NL: np.ndarray, target_N: np.ndarray) -> float:
    """The temperature under which the right labels are likeliest; found by golden sections over its logarithm, between 0.05 and 20."""
    return golden(lambda logarithm: mean_nll(logits_NL, target_N, float(np.exp(logarithm))))


def fit_sigmoid_temperature(logits_NL: np.ndarray, wanted_NL: np.ndarray) -> float:
    """The same for labels that apply or not, each by itself: `wanted_NL` holds 1 where one applies."""

    def loss(logarithm: float) -> float:
        scaled_NL = logits_NL / np.exp(logarithm)
        return float((np.logaddexp(0, scaled_NL) - wanted_NL * scaled_NL).mean())

    return golden(loss)


def golden(loss) -> float:
    """exp of the logarithm at which a function of one valley is lowest."""
    low, high, ratio = np.log(LOWEST), np.log(HIGHEST), (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))
