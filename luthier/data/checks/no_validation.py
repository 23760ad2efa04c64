"""D402: no rows to choose the checkpoint by."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.data.table import Table


def check(table: Table) -> Iterator[Finding]:
    """Warnings where no validation or no test rows were asked for."""
    if "validation" not in table.given and not table.wanted.get("validation", 0):
        yield Finding("D402", "warning", "no validation rows: the last step is kept, and overfitting goes unseen", count=0, hint="set data.validation to a share, such as 10%")
    if "test" not in table.given and not table.wanted.get("test", 0):
        yield Finding("D402", "warning", "no test rows: nothing can say whether tuning helped", count=0, hint="set data.test to a share, such as 10%")
