"""D302: labels with few rows to learn from."""
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import SHOWN, Finding
from luthier.data.table import Table

WANTED = 50
SCARCE = 2


def check(table: Table) -> Iterator[Finding]:
    """A warning that lists the labels with fewer than 50 training rows, scarcest first; those with 0 or 1 are named apart."""
    if not table.labels:
        return
    train = table.label[(table.side == 0) & (table.label >= 0)]
    counts = np.bincount(train, minlength=len(table.labels))
    used = np.bincount(table.label[(table.side < 3) & (table.label >= 0)], minlength=len(table.labels)) > 0
    rare = [int(at) for at in np.argsort(counts, kind="stable") if counts[at] < WANTED and used[at]]
    if not rare:
        return
    listed = ", ".join(f"`{table.labels[at]}` {counts[at]}" for at in rare[:SHOWN]) + (f" and {len(rare) - SHOWN} more" if len(rare) > SHOWN else "")
    hopeless = sum(counts[at] < SCARCE for at in rare)
    tail = f"; {hopeless} of them have one row or none, which nothing can learn" if hopeless else ""
    rows = np.flatnonzero(table.label == rare[0])
    yield Finding("D302", "warning", f"{len(rare)} label{'s have' if len(rare) > 1 else ' has'} fewer than {WANTED} training rows: {listed}{tail}", **{**table.place(rows), "count": len(rare)}, field="label", hint="add rows, or join rare labels")
