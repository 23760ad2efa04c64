"""D317: a label that the length of the text gives away.

For each label, the probability that one of its texts is longer than one of another label (the area under the curve of length as a score, Mann and Whitney
1947); 0.5 says nothing, 0 and 1 all.
"""
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import Batch
from luthier.data.seen import Found, Seen, rows

FEWEST = 30
TELLING = 0.9
MOST_LABELS = 100


class Lengths:
    """Looks at labelled rows; needs only what is remembered of every row."""

    def see(self, batch: Batch) -> None:
        """Nothing beyond that."""

    def report(self, seen: Seen) -> Iterator[Found]:
        label_N = seen.label_N
        known = np.flatnonzero(label_N >= 0)
        if not len(known) or len(seen.label_names) > MOST_LABELS:
            return
        size_N = seen.words_N[known].astype(np.float64)
        rank_N = ranks(size_N)
        for label in range(len(seen.label_names)):
            mine = label_N[known] == label
            count, others = int(mine.sum()), int((~mine).sum())
            if count < FEWEST or others < FEWEST:
                continue
            longer = (rank_N[mine].sum() - count * (count + 1) / 2) / (count * others)
            if max(longer, 1 - longer) >= TELLING:
                how = "longer" if longer > 0.5 else "shorter"
                message = f"rows of `{seen.label_names[label]}` are {how} than others in {max(longer, 1 - longer):.0%} of cases ({np.median(size_N[mine]):.0f} words against {np.median(size_N[~mine]):.0f}): their length gives the label away"
                yield Found("D317", "warning", message, rows(known[mine]), "fine if it is so in use; else add rows of other lengths, or the model learns to count", field="label")


def ranks(values_N: np.ndarray) -> np.ndarray:
    """Ranks from 1, those of equal values averaged."""
    kinds, inverse, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]
