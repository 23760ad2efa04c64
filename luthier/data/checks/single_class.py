"""D301: labels that are all the same."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.data.table import Table


def check(table: Table) -> Iterator[Finding]:
    """An error where the training rows have one label only."""
    present = {int(label) for label in set(table.label[table.side == 0].tolist()) if label >= 0}
    if len(present) == 1:
        yield Finding("D301", "error", f"every training row has the label `{table.labels[present.pop()]}`: there is nothing to tell apart", field="label", count=table.count("train"), hint="is `data.map` naming the right column?")
