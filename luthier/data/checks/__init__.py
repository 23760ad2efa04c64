"""The data doctor: one file per check.

A row check looks at one record and yields findings about it; an error leaves the row out. A set check looks at the table of all rows.
"""
from collections.abc import Callable, Iterator

from luthier.data.checks import (
    columns,
    conflicts,
    cut_words,
    duplicates,
    empty,
    few_rows,
    ids,
    imbalance,
    label_spelling,
    no_validation,
    one_sided_labels,
    private,
    rare_labels,
    roles,
    shares,
    single_class,
)
from luthier.data.findings import Finding
from luthier.data.records import Record
from luthier.data.table import Table

ROW_CHECKS: dict[str, Callable[[Record], Finding | None]] = {
    "empty": empty.check,
    "roles": roles.check,
    "private": private.check,
    "cut words": cut_words.check,
}
SET_CHECKS: dict[str, Callable[[Table], Iterator[Finding]]] = {
    "few rows": few_rows.check,
    "duplicates": duplicates.check,
    "conflicts": conflicts.check,
    "ids": ids.check,
    "single class": single_class.check,
    "rare labels": rare_labels.check,
    "imbalance": imbalance.check,
    "one-sided labels": one_sided_labels.check,
    "label spelling": label_spelling.check,
    "no validation": no_validation.check,
    "shares": shares.check,
}
"""`columns` has its own input, the shapes of the rows, and is called by the intake."""

__all__ = ["ROW_CHECKS", "SET_CHECKS", "columns"]
