"""D307: labels that differ only in case, spaces or punctuation."""
import re
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import SHOWN, Finding
from luthier.data.table import Table


def check(table: Table) -> Iterator[Finding]:
    """A warning that names labels which are probably one, with their rows."""
    groups: dict[str, list[int]] = {}
    for at, label in enumerate(table.labels):
        groups.setdefault(re.sub(r"[\W_]+", "", label.casefold()) or label, []).append(at)
    twins = [group for group in groups.values() if len(group) > 1]
    if not twins:
        return
    counts = np.bincount(table.label[table.label >= 0], minlength=len(table.labels))
    listed = "; ".join(" and ".join(f"`{table.labels[at]}` ({counts[at]:,})" for at in group) for group in twins[:SHOWN])
    rarer = [min(group, key=lambda at: counts[at]) for group in twins]
    yield Finding("D307", "warning", f"labels that differ only in spelling: {listed}", **table.place(np.flatnonzero(np.isin(table.label, rarer))), field="label", hint="write each label in one way; they are learned as different ones")
