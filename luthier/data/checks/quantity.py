"""D514: how much there is to learn from, in one honest sentence."""
from collections.abc import Iterator

import numpy as np

from luthier.data.records import Text
from luthier.data.sample import Sample
from luthier.data.seen import Found, Seen, plural


def check(sample: Sample, seen: Seen, embed=None) -> Iterator[Found]:
    """A notice: distinct inputs, rows per label, and what that is usually enough for."""
    train = seen.split_N == 0
    count = int(train.sum())
    if not count:
        return
    distinct = len(np.unique(seen.input_N[train]))
    parts = [f"{plural(count, 'training row')}, {distinct:,} different {'input' if distinct == 1 else 'inputs'}"]
    enough = distinct
    if seen.label_names:
        each = np.bincount(seen.label_N[train][seen.label_N[train] >= 0], minlength=len(seen.label_names))
        each = each[each > 0]
        if len(each):
            parts.append(f"{int(np.median(each)):,} rows per label (from {each.min():,} to {each.max():,})")
            enough = int(np.median(each)) * 10
    if seen.record is Text:
        parts.append(f"{int(seen.words_N[train].sum()):,} words")
    verdict = (
        "few: expect a rough model, and large differences between seeds" if enough < 200
        else "enough for a first model; most tasks go on gaining up to some thousands" if enough < 2000
        else "as much as most tasks of this kind need; better rows now help more than more rows"
    )
    yield Found("D514", "info", f"{'; '.join(parts)}: {verdict}", count=count, hint="the learning curve of a run says whether more rows would help")
