"""D204: an id that stands on two different rows."""
from collections.abc import Iterator

import numpy as np

from luthier.data.checks.duplicates import repeated
from luthier.data.findings import Finding
from luthier.data.split import LEFT_OUT
from luthier.data.table import Table

NAMES = ("id", "uuid", "row_id", "example_id")


def check(table: Table) -> Iterator[Finding]:
    """A warning with the rows whose id stood earlier already."""
    kept = np.flatnonzero(table.side < LEFT_OUT)
    if len(repeats := kept[repeated(table.id[kept])]):
        yield Finding("D204", "warning", f"{len(repeats):,} row{'s bear' if len(repeats) != 1 else ' bears'} an id that stood earlier already", **table.place(repeats), field="id", hint="were two files joined? copies with one id are easily counted twice")
