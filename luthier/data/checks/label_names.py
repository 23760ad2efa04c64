"""D308: labels whose names are nearly one: a rare one beside a common one is mostly a misspelling."""
import re
from collections.abc import Iterator
from difflib import SequenceMatcher

import numpy as np

from luthier.data.records import MultiLabelled
from luthier.data.sample import Sample
from luthier.data.seen import Found, Seen, rows

LIKE = 0.88
SHORTEST = 5
MOST_LABELS = 1000
TIMES = 10


def check(sample: Sample, seen: Seen, embed=None) -> Iterator[Found]:
    """A warning for a label with a tenth of the rows of one that is spelled nearly alike, a notice for other such pairs."""
    names = seen.label_names
    if seen.record is MultiLabelled:  # what stands here is all labels of a row, and those differ by one mostly
        return
    if not 2 <= len(names) <= MOST_LABELS:
        return
    counts = np.bincount(seen.label_N[seen.label_N >= 0], minlength=len(names))
    plain = [re.sub(r"[\W_]+", "", name.casefold()) for name in names]
    slips, pairs = [], []
    for at, one in enumerate(plain):
        for other in range(at):
            if one == plain[other] or min(len(one), len(plain[other])) < SHORTEST or one.isdigit() or re.sub(r"\d+", "", one) == re.sub(r"\d+", "", plain[other]):
                continue
            if SequenceMatcher(None, one, plain[other]).quick_ratio() >= LIKE and SequenceMatcher(None, one, plain[other]).ratio() >= LIKE:
                rare, common = sorted((at, other), key=lambda label: counts[label])
                (slips if counts[common] >= TIMES * counts[rare] else pairs).append((rare, common))
    told = lambda found: "; ".join(f"`{names[rare]}` ({counts[rare]:,}) and `{names[common]}` ({counts[common]:,})" for rare, common in found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    if slips:
        found = rows(np.flatnonzero(np.isin(seen.label_N, [rare for rare, _ in slips])))
        instead = {int(row): names[dict(slips)[int(seen.label_N[row])]] for row in found}
        yield Found("D308", "warning", f"rare labels spelled nearly as common ones: {told(slips)}", found, "is it a misspelling? labels are learned as different ones", field="label", fix="label_names", instead=instead)
    if pairs:
        yield Found("D308", "info", f"labels with nearly the same name: {told(pairs)}", field="label", count=len(pairs), hint="fine if they differ in meaning; names that differ more are learned sooner by a model that writes them")
