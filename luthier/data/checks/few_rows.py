"""D120, D121, D122: too few rows to learn from, a split with none, a test that can show little."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.data.table import Table

LEAST = 10
FEW = 100


def check(table: Table) -> Iterator[Finding]:
    """Errors: fewer than 10 rows in all, a split that was asked for and is empty. Warnings: fewer than 100 training rows, a small test."""
    count = len(table)
    if count < LEAST:
        yield Finding("D120", "error", f"{count} usable row{'s' * (count != 1)}; at least {LEAST} are needed", count=count, hint="gather more rows; a few hundred good ones are a start")
        return
    for split in ("train", "validation", "test"):
        asked = split == "train" or split in table.given or table.wanted.get(split, 0) > 0
        if asked and table.count(split) == 0:
            yield Finding("D121", "error", f"the {split} split has no rows", count=0, hint="give it rows: raise its share, name a file of its own, or use smaller groups")
    train, test = table.count("train"), table.count("test")
    if 0 < train < FEW:
        yield Finding("D120", "warning", f"{train} training rows are few; results will vary from seed to seed", count=train, hint="a few hundred good rows are a start")
    if 0 < test < table.min_test_rows:
        yield Finding("D122", "warning", f"{test} test rows can only show large differences (fewer than {table.min_test_rows})", count=test, hint="raise data.test, or name a larger test file")
