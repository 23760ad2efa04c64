"""D304: a label that is tested but never trained, or trained but never tested."""
import difflib
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import SHOWN, Finding
from luthier.data.table import Table


def check(table: Table) -> Iterator[Finding]:
    """Warnings that list the labels that stand in one split only, with the nearest label that training has."""
    if not table.labels:
        return
    train = set(table.label[table.side == 0].tolist())
    for side, split in ((2, "test"), (1, "validation")):
        there = set(table.label[table.side == side].tolist()) - {-1}
        if not there:
            continue
        if unknown := sorted(there - train):
            known = [table.labels[label] for label in sorted(train) if label >= 0]
            near = difflib.get_close_matches(table.labels[unknown[0]], known, n=1, cutoff=0.6)
            rows = np.flatnonzero((table.side == side) & np.isin(table.label, unknown))
            yield Finding("D304", "warning", f"{len(rows):,} {split} rows have a label that no training row has: {_listed(table, unknown)}", **table.place(rows), field="label", hint=f"did you mean `{near[0]}`?" if near else "add training rows of that label")
        if split == "test" and (missing := sorted(train - there - {-1})):
            yield Finding("D304", "warning", f"{len(missing)} label{'s are' if len(missing) > 1 else ' is'} trained but not tested: {_listed(table, missing)}", field="label", count=len(missing), hint="raise data.test, or name a test file that has them")


def _listed(table: Table, labels: list[int]) -> str:
    return ", ".join(f"`{table.labels[label]}`" for label in labels[:SHOWN]) + (f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else "")
