"""The decision rule, in the open: the smallest cost among those whose quality is not surely worse than the best by more than the margin.

A contestant is surely worse when some other beats it by more than the margin in a comparison of all with all: the largest standardised
difference to the others exceeds what resampling gives at 1 - alpha (multiple comparisons with the best, Hsu 1981, with the quantile of the
bootstrap), and the paired test agrees. So the burden of proof is on what costs more, and many contestants make no lucky winner.
Axes: M contestants, R resamples.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from luthier.evaluation.prices import Cost
from luthier.evaluation.statistics import resampled
from luthier.metrics.metric import Metric

SHARE_OF_SCALE = {"chrf": 1.0}
"""The margin that `auto` means for figures that do not run from 0 to 1."""


def margin_of(setting: float | str, metric: str, best: float, higher_is_better: bool) -> float:
    """The margin in the metric's unit: what the user says; auto: a hundredth of the scale, for bits and perplexity of the best value."""
    if setting != "auto":
        return float(setting)
    return SHARE_OF_SCALE.get(metric, 0.01) if higher_is_better else 0.01 * abs(best)


@dataclass(frozen=True)
class Standing:
    """Everyone's figures on the same draws, turned so that more is better."""

    names: Sequence[str]
    value_M: np.ndarray
    values_MR: np.ndarray
    extra_M: np.ndarray
    """Variance that rows do not show: the spread between seeds."""
    freedom_M: np.ndarray
    """Degrees of freedom of that spread; 0 for a single seed."""
    rows: int
    """Rows or groups that were drawn."""
    p_value: Callable[[int, int], float]
    """The paired test of two contestants, by number."""


def standing(metrics: dict[str, Metric], seeds: dict[str, Sequence[float]], p_value: Callable[[int, int], float], *, resamples: int, seed: int) -> Standing:
    """What the rule reads; `seeds` holds the values of each training of a contestant that was trained several times."""
    names, sign = list(metrics), 1 if next(iter(metrics.values())).higher_is_better else -1
    extra = [np.var(seeds[name], ddof=1) / len(seeds[name]) if len(seeds.get(name, ())) > 1 else 0.0 for name in names]
    freedom = [len(seeds.get(name, ())) - 1 for name in names]
    values_MR = sign * resampled(list(metrics.values()), resamples, seed)
    value_M = sign * np.array([one.value for one in metrics.values()])
    return Standing(names, value_M, values_MR, np.array(extra), np.maximum(freedom, 0), len(next(iter(metrics.values()))), p_value)


def beaten_by(at: Standing, candidate: int, margin: float, confidence: float) -> int | None:
    """Number of a contestant that surely beats the candidate by more than the margin; None where there is none."""
    others = [number for number in range(len(at.names)) if number != candidate]
    if not others or at.rows < 2:
        return None
    away_M = at.value_M - at.value_M[candidate]
    away_MR = at.values_MR - at.values_MR[candidate]
    rows_M = np.nanvar(away_MR, axis=1)
    error_M = np.sqrt(rows_M + at.extra_M + at.extra_M[candidate])
    moving = [number for number in others if error_M[number] > 1e-12]
    alpha = (1 - confidence) / 2
    noise = np.sqrt(rows_M[moving])[:, None]
    standard_MR = np.divide(away_MR[moving] - away_M[moving, None], noise, out=np.zeros_like(away_MR[moving]), where=noise > 1e-12)
    bar = bar_for_all(standard_MR, alpha)
    # The beater is the one whose lead over the bar is largest; resamples of few rows and of few seeds spread too little, and the bar rises with Student's t.
    lead = {number: away_M[number] - margin - bar * widening(at, number, candidate, rows_M[number], alpha) * error_M[number] for number in others}
    for number in sorted((number for number in others if lead[number] > 0), key=lambda number: -lead[number]):
        if at.p_value(number, candidate) < 1 - confidence:
            return number
    return None


def bar_for_all(standard_MR: np.ndarray, alpha: float) -> float:
    """What the largest of all standardised differences exceeds with probability alpha where nothing differs; never less than for one alone."""
    alone = float(scipy.stats.norm.ppf(1 - alpha))
    return max(float(np.nanquantile(standard_MR.max(axis=0), 1 - alpha)), alone) if len(standard_MR) else alone


def widening(at: Standing, one: int, other: int, rows_variance: float, alpha: float) -> float:
    """Student's quantile over the normal one, for the rows and seeds that there are."""
    parts = [(rows_variance * at.rows / (at.rows - 1), at.rows - 1)] + [(at.extra_M[number], at.freedom_M[number]) for number in (one, other) if at.freedom_M[number] > 0]
    total, below = sum(variance for variance, _ in parts), sum(variance**2 / freedom for variance, freedom in parts)
    freedom = total**2 / below if below > 0 else at.rows - 1
    return float(scipy.stats.t.ppf(1 - alpha, freedom) / scipy.stats.norm.ppf(1 - alpha) * np.sqrt(at.rows / (at.rows - 1)))


@dataclass(frozen=True)
class Decision:
    """Who is to be used, and why."""

    winner: str
    best: str
    """Of the largest figure on these rows."""
    margin: float
    beaten: dict[str, str]
    """Who is surely worse than somebody by more than the margin, and than whom."""
    proven: bool
    """Whether the winner is surely within the margin of the best, and not merely not shown to be worse."""


def decide(at: Standing, costs: dict[str, Cost], *, margin: float, volume: int, confidence: float) -> Decision:
    """Walk from the cheapest up; the first that nobody surely beats by more than the margin wins. Equal costs: the better figure first."""
    best = int(np.nanargmax(at.value_M))
    order = sorted(range(len(at.names)), key=lambda number: (costs[at.names[number]].per_thousand(volume), -at.value_M[number]))
    beaten = {number: other for number in order if (other := beaten_by(at, number, margin, confidence)) is not None}
    winner = next((number for number in order if number not in beaten), best)
    behind_R = at.values_MR[best] - at.values_MR[winner]
    worst = float(np.nanquantile(behind_R, (1 + confidence) / 2)) + float(np.sqrt(at.extra_M[best] + at.extra_M[winner])) * 2
    proven = winner == best or worst <= margin
    return Decision(at.names[winner], at.names[best], margin, {at.names[number]: at.names[other] for number, other in beaten.items()}, proven)
