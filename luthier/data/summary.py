"""The data set in figures: rows, labels and lengths of each split, for `check` and for the report."""
import numpy as np

from luthier.data.split import SPLITS
from luthier.data.table import Table


def summarise(table: Table) -> dict:
    """Split -> {rows, characters, answer_characters, labels?}; lengths as {min, mean, p50, p95, max} in characters of a record and of what it teaches."""
    return {split: _split(table, table.side == at) for at, split in enumerate(SPLITS)}


def _split(table: Table, rows_N: np.ndarray) -> dict:
    figures = {"rows": int(rows_N.sum()), "characters": _lengths(table.characters[rows_N]), "answer_characters": _lengths(table.answer[rows_N])}
    if table.labels:
        counts = np.bincount(table.label[rows_N & (table.label >= 0)], minlength=len(table.labels))
        figures["labels"] = {table.labels[at]: int(counts[at]) for at in np.argsort(-counts, kind="stable") if counts[at]}
    return figures


def _lengths(values: np.ndarray) -> dict | None:
    if not len(values):
        return None
    middle, high = np.percentile(values, [50, 95], method="nearest")
    return {"min": int(values.min()), "mean": round(float(values.mean()), 1), "p50": int(middle), "p95": int(high), "max": int(values.max())}
