"""How sure a figure is: intervals by the bootstrap, paired differences on the same rows, tests, and what a test set can show at all.

Rows are drawn with replacement and the figure is computed again, 2,000 times (Efron 1979). The ends are quantiles of those values,
corrected for bias and skew (BCa, Efron 1987: macro-F1 of a resample is too low where labels have few rows) and moved out for few rows
(Hesterberg 2015).
A difference of two contestants uses the same draws for both. Whether a difference could be chance alone is asked twice: by exact
McNemar where rows are right or wrong, by swapping the two contestants' answers row by row (approximate randomisation) otherwise.
Rows that share a group (a customer, a document) are drawn and swapped together: `clustered` folds them into one line of parts, and
everything else stays as it is. Everything is a pure function of (metric, seed). Axes: R resamples, N rows, S parts of a metric.
"""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from luthier.metrics.metric import Metric

Kind = Literal["percentile", "bca"]
CHUNK_CELLS = 4_000_000
"""Most cells of one block of draws; bounds memory, and changes no figure."""
RIGHT_OR_WRONG = ("accuracy", "exact_match", "correct", "json_match")
"""Figures that are the mean of rows that are right or wrong."""


@dataclass(frozen=True)
class Interval:
    """A value and where the truth lies with the stated confidence."""

    value: float
    """The figure on all rows."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


@dataclass(frozen=True)
class Difference:
    """One contestant against another on the same rows; positive means the first is better, whatever the metric's direction."""

    value: float
    """First minus second, turned so that more is better."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    standard_error: float
    """Standard deviation of the difference over resamples."""
    test: str
    """Name of the test of no difference."""
    p_value: float
    """Probability of a difference at least this large where there is none."""


# ---- groups ---------------------------------------------------------------------------------------
def clustered(metric: Metric, groups: Sequence[object]) -> Metric:
    """The same figure over groups of rows (Field and Welsh 2007): one line of parts per group, so that a resample draws whole groups.

    A row whose group is None is a group of its own. The value stays; a group's per-row entry is the mean of its rows.
    """
    if len(groups) != len(metric):
        raise ValueError(f"{len(groups)} groups for {len(metric)} rows")
    numbers: dict[object, int] = {}
    group_N = np.array([numbers.setdefault(("row", at) if group is None else ("group", group), len(numbers)) for at, group in enumerate(groups)])
    if len(numbers) == len(metric):
        return metric
    parts_GS = np.zeros((len(numbers), metric.parts_NS.shape[1]))
    np.add.at(parts_GS, group_N, metric.parts_NS)
    sizes_G = np.bincount(group_N)
    return Metric(metric.name, metric.value, np.bincount(group_N, weights=metric.per_row) / sizes_G, metric.higher_is_better, parts_GS, metric.finish)


# ---- draws --------------------------------------------------------------------------------------
def draws(num_rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks [r, N] of how often each row is drawn; the same for everyone who has the same rows and seed."""
    random = np.random.default_rng(seed)
    block = max(1, min(resamples, CHUNK_CELLS // num_rows))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        picked_rN = random.integers(0, num_rows, (size, num_rows)) + np.arange(size)[:, None] * num_rows
        yield np.bincount(picked_rN.ravel(), minlength=size * num_rows).reshape(size, num_rows).astype(np.float32)


def resampled(metrics: Sequence[Metric], resamples: int, seed: int) -> np.ndarray:
    """[M, R] values of several metrics over the same rows, on the same draws."""
    blocks = ([metric.resample(counts_rN) for metric in metrics] for counts_rN in draws(len(metrics[0]), resamples, seed))
    return np.concatenate([np.stack(block) for block in blocks], axis=1)


# ---- intervals ----------------------------------------------------------------------------------
def interval(
    metric: Metric, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0, kind: Kind = "bca"
) -> Interval:
    """The interval of one metric. Where no resample differs and rows are right or wrong (all right, say), it is Wilson's."""
    values_R = resampled([metric], resamples, seed)[0]
    if not np.isfinite(metric.value) or not np.isfinite(values_R).any():
        return Interval(metric.value, np.nan, np.nan)
    if np.nanstd(values_R) < 1e-12:
        return Interval(metric.value, *without_spread(metric.value, metric.per_row, confidence))
    jackknife_N = left_out(metric) if kind == "bca" else None
    return Interval(metric.value, *ends(values_R, metric.value, len(metric), confidence, jackknife_N))


def ends(
    values_R: np.ndarray, value: float, num_rows: int, confidence: float, jackknife_N: np.ndarray | None = None
) -> tuple[float, float]:
    """Both ends from resampled values: BCa where leave-one-out values are given and usable, else percentiles."""
    values_R = values_R[np.isfinite(values_R)]
    share = expanded(confidence, num_rows)
    if jackknife_N is not None and (corrected := bca_shares(values_R, value, jackknife_N, share)):
        return tuple(float(end) for end in np.quantile(values_R, corrected))
    return tuple(float(end) for end in np.quantile(values_R, (share, 1 - share)))


def expanded(confidence: float, num_rows: int) -> float:
    """The share to cut off at each end. Resamples of N rows spread too little by sqrt((N-1)/N) and know nothing of Student's t."""
    if num_rows < 2:
        return (1 - confidence) / 2
    quantile = scipy.stats.t.ppf((1 - confidence) / 2, num_rows - 1) * np.sqrt(num_rows / (num_rows - 1))
    return float(scipy.stats.norm.cdf(quantile))


def bca_shares(values_R: np.ndarray, value: float, jackknife_N: np.ndarray, share: float) -> tuple[float, float] | None:
    """The shares that correct for bias and skew; None where the resamples all lie on one side, leaving a row out changes nothing, or so few rows are there that no share is left to cut off."""
    below = (values_R < value).mean() + (values_R == value).mean() / 2
    away_N = jackknife_N.mean() - jackknife_N
    spread = (away_N**2).sum() ** 1.5
    if not 0 < below < 1 or not np.isfinite(spread) or spread < 1e-300 or share < 1e-15:
        return None
    bias, acceleration = scipy.stats.norm.ppf(below), (away_N**3).sum() / (6 * spread)
    shifted = bias + scipy.stats.norm.ppf([share, 1 - share])
    low, high = scipy.stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))
    return (float(low), float(high)) if low < high else None


def left_out(metric: Metric) -> np.ndarray:
    """[N] The figure without each row in turn."""
    total_S = metric.parts_NS.sum(axis=0, dtype=np.float64)
    block = max(1, CHUNK_CELLS // metric.parts_NS.shape[1])
    parts = (metric.parts_NS[start : start + block] for start in range(0, len(metric), block))
    return np.concatenate([metric.finish(total_S - part_nS) for part_nS in parts])


def without_spread(value: float, per_row: np.ndarray, confidence: float) -> tuple[float, float]:
    """Ends where every resample gives one value: for right-or-wrong rows what so many rows can exclude (Wilson 1927), else that value."""
    if not set(np.unique(per_row)) <= {0.0, 1.0}:
        return value, value
    found = scipy.stats.binomtest(int(per_row.sum()), len(per_row)).proportion_ci(confidence, method="wilson")
    return min(value, float(found.low)), max(value, float(found.high))


# ---- paired differences -------------------------------------------------------------------------
def difference(
    first: Metric, second: Metric, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0, kind: Kind = "bca"
) -> Difference:
    """First against second on the same rows, signed so that positive is better for the first. ValueError where they are not comparable."""
    if first.name != second.name or len(first) != len(second) or first.parts_NS.shape != second.parts_NS.shape:
        both = f"{first.name} over {len(first)} rows and {second.name} over {len(second)} rows"
        raise ValueError(f"{both} are not the same figure on the same rows")
    sign = 1.0 if first.higher_is_better else -1.0
    values_MR = resampled([first, second], resamples, seed)
    values_R = sign * (values_MR[0] - values_MR[1])
    value = sign * (first.value - second.value)
    test, p_value = no_difference(first, second, resamples=resamples, seed=seed)
    if not np.isfinite(value) or not np.isfinite(values_R).any():
        return Difference(value, np.nan, np.nan, np.nan, test, 1.0)
    spread = float(np.nanstd(values_R))
    if spread < 1e-12:
        return Difference(value, *difference_without_spread(value, first, second, confidence), 0.0, test, p_value)
    jackknife_N = sign * (left_out(first) - left_out(second)) if kind == "bca" else None
    return Difference(value, *ends(values_R, value, len(first), confidence, jackknife_N), spread, test, p_value)


def difference_without_spread(value: float, first: Metric, second: Metric, confidence: float) -> tuple[float, float]:
    """Ends where every resample gives one difference: so many rows cannot exclude a rare row on which it is another."""
    rows = np.concatenate([first.per_row, second.per_row])
    if not set(np.unique(rows)) <= {0.0, 1.0}:
        return value, value
    unseen = 1 - float(scipy.stats.binomtest(len(first), len(first)).proportion_ci(confidence, method="wilson").low)
    return max(-1.0, value - unseen), min(1.0, value + unseen)


def no_difference(first: Metric, second: Metric, *, resamples: int = 2000, seed: int = 0) -> tuple[str, float]:
    """The test that fits: exact McNemar for figures of right and wrong rows, approximate randomisation for every other figure."""
    if first.name in RIGHT_OR_WRONG and all(set(np.unique(one.per_row)) <= {0.0, 1.0} for one in (first, second)):
        return "exact McNemar", mcnemar(first.per_row, second.per_row)
    return "approximate randomisation", randomisation(first, second, rounds=resamples, seed=seed)


def mcnemar(first_N: Sequence[float], second_N: Sequence[float]) -> float:
    """Two-sided exact p (McNemar 1947) that two contestants who are right (1) or wrong (0) on the same rows err equally often."""
    first_N, second_N = np.asarray(first_N) > 0.5, np.asarray(second_N) > 0.5
    gained, lost = int((first_N & ~second_N).sum()), int((~first_N & second_N).sum())
    return 1.0 if gained + lost == 0 else float(scipy.stats.binomtest(gained, gained + lost, 0.5).pvalue)


def randomisation(first: Metric, second: Metric, *, rounds: int = 2000, seed: int = 0) -> float:
    """Two-sided p (Noreen 1989): how often the difference is as large when every row's two answers are swapped by a coin."""
    random = np.random.default_rng((seed, 1))
    parts_NS = np.asarray(second.parts_NS - first.parts_NS, dtype=np.float32)
    first_S, second_S = (metric.parts_NS.sum(axis=0, dtype=np.float64) for metric in (first, second))
    observed = abs(first.value - second.value)
    as_large = 0
    block = max(1, min(rounds, CHUNK_CELLS // len(first)))
    for start in range(0, rounds, block):
        swapped_rN = random.integers(0, 2, (min(block, rounds - start), len(first)), dtype=np.int8).astype(np.float32)
        moved_rS = swapped_rN @ parts_NS
        difference_r = first.finish(first_S + moved_rS) - first.finish(second_S - moved_rS)
        as_large += int((np.abs(difference_r) >= observed * (1 - 1e-9) - 1e-12).sum())
    return (as_large + 1) / (rounds + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """The same p-values for a whole family of comparisons (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate([min(1.0, p_values[index] * (len(p_values) - place)) for place, index in enumerate(order)])
    adjusted = [0.0] * len(p_values)
    for index, value in zip(order, stepped):
        adjusted[index] = float(value)
    return adjusted


# ---- what a test set can show -------------------------------------------------------------------
ASSUMED_DISAGREEMENT = 0.2
"""Share of rows that two contestants judge differently, assumed while nothing is known yet."""


def detectable(standard_error: float, *, confidence: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference that is found with probability `power`, given the standard error of a difference."""
    return float((scipy.stats.norm.ppf((1 + confidence) / 2) + scipy.stats.norm.ppf(power)) * standard_error)


def detectable_before(
    num_rows: int,
    *,
    standard_deviation: float | None = None,
    disagreement: float = ASSUMED_DISAGREEMENT,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """The same before training, in the metric's unit: from the standard deviation of one row's difference, or from how often two
    contestants are assumed to disagree on a row (then in shares of rows, as accuracy is)."""
    spread = np.sqrt(disagreement) if standard_deviation is None else standard_deviation
    return detectable(float(spread / np.sqrt(num_rows)), confidence=confidence, power=power)


def rows_needed(difference: float, *, disagreement: float = ASSUMED_DISAGREEMENT, confidence: float = 0.95, power: float = 0.8) -> int:
    """Test rows that show a difference of this size, under the same assumption."""
    return int(np.ceil((detectable_before(1, disagreement=disagreement, confidence=confidence, power=power) / difference) ** 2))


def announcement(num_rows: int, *, confidence: float = 0.95) -> str:
    """What this test set can show, said before anything is trained."""
    smallest = detectable_before(num_rows, confidence=confidence)
    size = f"{num_rows:,} test row{'' if num_rows == 1 else 's'}"
    if smallest >= 0.5:
        return f"{size} can show next to nothing; {rows_needed(0.05):,} would show a difference of 5 points"
    more = f"; {rows_needed(0.05):,} would show 5 points" if smallest > 0.05 else ""
    return (
        f"{size} can show a difference of {100 * smallest:.1f} points or more (80 % power, {100 * confidence:.0f} % confidence, "
        f"{100 * ASSUMED_DISAGREEMENT:.0f} % of rows judged differently){more}"
    )


def rows_that_show(difference: float, *, shown: float, num_rows: int) -> int:
    """Test rows that would show a difference of this size where `num_rows` of the same kind show `shown`; spread falls with the root of rows."""
    return int(np.ceil(num_rows * (shown / difference) ** 2))
