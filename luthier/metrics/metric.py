"""A figure over rows that can be computed again on any resample of those rows.

Every figure here is a function of sums over rows: a mean of (sum, count), macro-F1 of per-label counts, corpus chrF of n-gram
counts. So a metric keeps one line of parts per row, and a resample is one matrix product: how often each row was drawn, times the
parts. Axes: R resamples, N rows, S parts.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Metric:
    """One figure of one contestant on one set of rows."""

    name: str
    """The figure's standard term, as a recipe or a gate spells it: `macro_f1`, `rouge_l`."""
    value: float
    """The figure over all rows."""
    per_row: np.ndarray
    """[N] What each row scored alone, for finding the worst rows; their mean is the value only where the figure is a mean."""
    higher_is_better: bool = True
    """False for losses, perplexity and bits."""
    parts_NS: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)), repr=False)
    """[N, S] What each row adds to the sums that the figure is made of."""
    finish: Callable[[np.ndarray], np.ndarray] = field(default=lambda sums_RS: sums_RS[:, 0], repr=False)
    """From sums [R, S] to values [R]."""
    signature: str = ""
    """How it was computed to the last choice, as the reference implementation writes it; empty where there is no choice."""

    def __len__(self) -> int:
        return len(self.per_row)

    def resample(self, counts_RN: np.ndarray) -> np.ndarray:
        """Values [R] on resamples, each given as how often every row was drawn."""
        return self.finish(counts_RN @ self.parts_NS)

    def recompute(self, rows: Sequence[int]) -> float:
        """The figure on the rows with these numbers, 0-based, repeats allowed."""
        return float(self.finish(self.parts_NS[np.asarray(rows, dtype=int)].sum(axis=0, keepdims=True))[0])


def from_parts(
    name: str, parts_NS: np.ndarray, finish: Callable[[np.ndarray], np.ndarray], *, per_row: np.ndarray, higher_is_better: bool = True, signature: str = "",
) -> Metric:
    """A metric whose value is `finish` of the column sums of its parts; no rows is a ValueError."""
    if len(parts_NS) == 0 or len(parts_NS) != len(per_row):
        raise ValueError(f"{name} needs one line of parts per row and at least one row; got {len(parts_NS)} lines for {len(per_row)} rows")
    value = float(finish(parts_NS.sum(axis=0, keepdims=True))[0])
    return Metric(name, value, np.asarray(per_row, dtype=np.float64), higher_is_better, parts_NS, finish, signature)


def mean(name: str, per_row: Sequence[float], *, higher_is_better: bool = True) -> Metric:
    """The plain mean of per-row values."""
    values_N = np.asarray(per_row, dtype=np.float64)
    parts_NS = np.stack([values_N, np.ones_like(values_N)], axis=1)
    return from_parts(name, parts_NS, ratio, per_row=values_N, higher_is_better=higher_is_better)


def ratio(sums_RS: np.ndarray) -> np.ndarray:
    """First sum over second; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums_RS[:, 1] > 0, sums_RS[:, 0] / sums_RS[:, 1], np.nan)


def same_rows(*columns: Sequence) -> None:
    """ValueError unless all columns have one entry per row, and there is a row."""
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"a metric compares columns of one length, with at least one row; got lengths {lengths}")
