"""D201: rows that stand more than once, word for word."""
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import Finding
from luthier.data.split import LEFT_OUT, SPLITS
from luthier.data.table import Table


def check(table: Table) -> Iterator[Finding]:
    """A warning with the rows that repeat an earlier one; all copies stand on one side of the split."""
    kept = np.flatnonzero(table.side < LEFT_OUT)
    repeats = kept[repeated(table.content[kept])]
    if not len(repeats):
        return
    sides = [f"{count:,} in {split}" for at, split in enumerate(SPLITS) if (count := int((table.side[repeats] == at).sum()))]
    message = f"{len(repeats):,} row{'s' * (len(repeats) != 1)} ({len(repeats) / len(kept):.1%}) repeat an earlier row word for word: {', '.join(sides)}"
    yield Finding("D201", "warning", message, **table.place(repeats), hint="each copy counts again, in learning and in the score; leave copies out unless they are meant")


def repeated(values_N: np.ndarray) -> np.ndarray:
    """The indices, in order, of values that stood earlier already; 0 is no value."""
    order = np.argsort(values_N, kind="stable")
    again = (values_N[order][1:] == values_N[order][:-1]) & (values_N[order][1:] != 0)
    return np.sort(order[1:][again])
