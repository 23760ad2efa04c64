"""D401: rows that stand in training and again in a test or validation file."""
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import Finding
from luthier.data.split import SPLITS
from luthier.data.table import Table

REASON = "also in a later split"


def check(table: Table, leaves_N: np.ndarray, *, allowed: bool) -> Iterator[Finding]:
    """A warning per split with the rows whose input or group also stands in the test (or validation) file; they leave, unless overlap is allowed."""
    for side, split in enumerate(SPLITS[:2]):
        rows = np.flatnonzero(leaves_N & (table.side == side))
        if len(rows):
            what = f"{len(rows):,} {split} row{'s have' if len(rows) != 1 else ' has'} an input or group that {'validation or test' if side == 0 else 'test'} holds too"
            done = "kept, as data.allow_overlap says: the score flatters" if allowed else f"left out of {split}"
            yield Finding("D401", "warning", f"{what}: {done}", **table.place(rows), hint="" if not allowed else "set data.allow_overlap=false for an honest score")
