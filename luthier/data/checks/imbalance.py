"""D303: one label with many times the rows of another."""
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import Finding
from luthier.data.table import Table

RATIO = 20


def check(table: Table) -> Iterator[Finding]:
    """A warning where the commonest training label has more than 20 times the rows of the rarest."""
    train = table.label[(table.side == 0) & (table.label >= 0)]
    if not len(train):
        return
    counts = np.bincount(train, minlength=len(table.labels))
    present = np.flatnonzero(counts)
    most, least = present[np.argmax(counts[present])], present[np.argmin(counts[present])]
    if counts[most] > RATIO * counts[least]:
        yield Finding(
            "D303", "warning", f"`{table.labels[most]}` has {counts[most]:,} training rows, `{table.labels[least]}` {counts[least]:,}: more than {RATIO} to 1", field="label",
            count=int(counts[most]), hint="judge by macro-F1, not accuracy, which a model reaches by always saying the common label",
        )
