"""D112: columns that no record is made from, and columns that only some rows have."""
from collections.abc import Iterator, Mapping

from luthier.data.findings import SHOWN, Finding

MOST_SHAPES = 1000


class Shapes:
    """How many rows have which columns; the first row of each combination."""

    def __init__(self):
        self.counts: dict[tuple, list] = {}
        self.total = 0

    def see(self, values: Mapping, number: int, line: int | None) -> None:
        self.total += 1
        names = tuple(values)
        found = self.counts.get(names)
        if found is not None:
            found[0] += 1
        elif len(self.counts) < MOST_SHAPES:
            self.counts[names] = [1, number, line]


def check(shapes: Shapes, used: set[str], file: str) -> Iterator[Finding]:
    """A notice for columns that are not used, a warning for those of them that only some rows have."""
    rows: dict[str, int] = {}
    first: dict[str, tuple] = {}
    for names, (count, number, line) in shapes.counts.items():
        for name in names:
            if name not in used:
                rows[name] = rows.get(name, 0) + count
                first.setdefault(name, (number, line))
    always = [name for name, count in rows.items() if count == shapes.total]
    sometimes = [name for name, count in rows.items() if count < shapes.total]
    if always:
        listed = ", ".join(always[:SHOWN]) + (f" and {len(always) - SHOWN} more" if len(always) > SHOWN else "")
        yield Finding("D112", "info", f"{len(always)} column{'s are' if len(always) > 1 else ' is'} not used: {listed}", file=file, count=shapes.total, hint="data.map chooses columns")
    if sometimes:
        listed = ", ".join(f"{name} ({rows[name]:,} of {shapes.total:,} rows)" for name in sometimes[:SHOWN]) + (f" and {len(sometimes) - SHOWN} more" if len(sometimes) > SHOWN else "")
        numbers = sorted({first[name] for name in sometimes[:SHOWN]})
        yield Finding(
            "D112", "warning", f"columns that only some rows have, and that are not used: {listed}", file=file, line=numbers[0][1], field=sometimes[0],
            rows=[number for number, _ in numbers], count=max(rows[name] for name in sometimes), hint="is a column misspelt there?",
        )
