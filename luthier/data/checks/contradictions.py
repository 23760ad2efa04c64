"""D163: judgements that contradict each other: a pair that stands the other way round too, an answer rated good and bad."""
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import Finding
from luthier.data.judgements import Judgements


def check(judged: Judgements) -> Iterator[Finding]:
    """A warning with the rows on both sides of each contradiction; no model can satisfy both."""
    asked, first, second, signs = (judged.column(name) for name in ("asked", "first", "second", "signs"))
    pairs = np.flatnonzero(second)
    straight = {(int(asked[at]), int(first[at]), int(second[at])) for at in pairs}
    turned = [at for at in pairs if (int(asked[at]), int(second[at]), int(first[at])) in straight and first[at] != second[at]]
    rated = np.flatnonzero(signs)
    sides: dict[tuple[int, int], set[int]] = {}
    for at in rated:
        sides.setdefault((int(asked[at]), int(first[at])), set()).add(int(signs[at]))
    turned += [at for at in rated if len(sides[int(asked[at]), int(first[at])]) > 1]
    if turned:
        rows = np.asarray(turned)
        yield Finding("D163", "warning", f"{len(rows):,} rows contradict another: the same two answers the other way round, or one answer both good and bad", **judged.place(rows), hint="decide which is right")
