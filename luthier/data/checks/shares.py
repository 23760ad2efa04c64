"""D403: a split far from the share that was asked for, as large groups make it."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.data.table import Table

FACTOR = 2


def check(table: Table) -> Iterator[Finding]:
    """A warning where a split has more than twice, or less than half, of its share."""
    total = sum(table.count(split) for split in ("train", "validation", "test") if split not in table.given)
    for split, share in table.wanted.items():
        count = table.count(split)
        if count and split not in table.given and not share * total / FACTOR <= count <= max(share * total * FACTOR, 1):
            yield Finding("D403", "warning", f"{split} has {count:,} rows, {count / total:.0%} of them, and {share:.0%} was asked for", count=count, hint="groups, and rows of one input, stay together; use finer groups or another share")
