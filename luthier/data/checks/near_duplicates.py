"""D203, D404: rows that say nearly the same as another, within a split and across splits."""
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import Batch
from luthier.data.near import NearIndex
from luthier.data.seen import Found, Seen, plural
from luthier.data.split import SPLITS

MOST_GROUPS = 50


class NearDuplicates:
    """Compares what is asked and answered (system turns and tool results left out). Warnings: near copies within a split (D203); rows whose near copy stands in a later split (D404)."""

    def __init__(self, folder):
        self.index = NearIndex(folder)

    def see(self, batch: Batch) -> None:
        self.index.add(*batch.said_bounds)

    def report(self, seen: Seen) -> Iterator[Found]:
        near = self.index.find()
        first, second = near.first_E, near.second_E
        other = (seen.input_N[first] != seen.input_N[second]) | (seen.answer_N[first] != seen.answer_N[second])
        within = seen.split_N[first] == seen.split_N[second]
        if (inside := within & other).any():
            yield self.inside(seen, near, np.unique(second[inside]))
        if (across := ~within).any():
            yield from self.across(seen, first[across], second[across], near.jaccard_E[across])

    def inside(self, seen: Seen, near, rows_N: np.ndarray) -> Found:
        """Near copies, the first of each cluster not counted."""
        groups = [[int(row) for row in group] for group in near.clusters() if len(np.unique(seen.input_N[group])) > 1 or len(np.unique(seen.answer_N[group])) > 1]
        partner = dict(zip(near.second_E.tolist(), near.first_E.tolist()))
        sizes = plural(len(groups), "group")
        message = f"{plural(len(rows_N))} ({len(rows_N) / len(seen):.1%}) nearly repeat an earlier one, in {sizes}; the largest has {len(groups[0])}: {seen.counted(rows_N)}"
        why = {int(row): f"nearly the same as {seen.where(partner[int(row)])}" for row in rows_N if int(row) in partner}
        return Found("D203", "warning", message, rows_N, "near copies count again in learning and make a test easy; leave copies out unless they are meant", fix="near_duplicates", why=why, groups=groups[:MOST_GROUPS])

    def across(self, seen: Seen, first: np.ndarray, second: np.ndarray, jaccard: np.ndarray) -> Iterator[Found]:
        """Rows of an earlier split with a near copy in a later one; rows stand in the order of the splits, so `first` is the earlier."""
        for side, split in enumerate(SPLITS[:2]):
            mine = seen.split_N[first] == side
            rows_N = np.unique(first[mine])
            if not len(rows_N):
                continue
            partner = dict(zip(first[mine].tolist(), second[mine].tolist()))
            tested = len(np.unique(second[mine]))
            example = f"{seen.where(int(rows_N[0]))} and {seen.where(partner[int(rows_N[0])])}"
            message = f"{plural(len(rows_N), f'{split} row')} {'has' if len(rows_N) == 1 else 'have'} a near copy among {plural(tested, 'row')} of {'validation or test' if side == 0 else 'test'}: {example}"
            why = {int(row): f"nearly the same as {seen.where(partner[int(row)])}, which is in {SPLITS[seen.split_N[partner[int(row)]]]}" for row in rows_N}
            yield Found("D404", "warning", message, rows_N, "the score flatters: leave them out of training, or keep related rows on one side with data.group", fix="leakage", why=why)
