"""D202: one input that bears different labels."""
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import Finding
from luthier.data.table import Table


def check(table: Table) -> Iterator[Finding]:
    """A warning with the rows whose input stands elsewhere with another label; no model can have both right."""
    labelled = np.flatnonzero(table.label >= 0)
    if not len(labelled):
        return
    order = labelled[np.lexsort((table.label[labelled], table.identity[labelled]))]
    same = table.identity[order][1:] == table.identity[order][:-1]
    other = same & (table.label[order][1:] != table.label[order][:-1])
    if not other.any():
        return
    bad = np.isin(table.identity[labelled], table.identity[order[1:][other]])
    rows = labelled[bad]
    at = order[1:][other][0]
    partner = order[:-1][other][0]
    example = f"{table.where(min(at, partner))} says `{table.labels[table.label[min(at, partner)]]}`, {table.where(max(at, partner))} says `{table.labels[table.label[max(at, partner)]]}`"
    yield Finding("D202", "warning", f"{len(rows):,} rows share their input with a row of another label: {example}", **table.place(rows), field="label", hint="decide which label is right")
