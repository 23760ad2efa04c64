"""D513: rows of the test (or validation) data unlike anything in training."""
from collections.abc import Iterator

import numpy as np

from luthier.data.sample import Sample
from luthier.data.seen import Found, Seen, plural
from luthier.data.split import SPLITS

FEWEST = 50
USUAL = 0.02
"""Of the training rows, this share is as far from all others as what is told here."""
TIMES = 3
MOST_COMPARED = 4000


def check(sample: Sample, seen: Seen, embed=None) -> Iterator[Found]:
    """A warning where a later split has several times as many rows far from training as training itself has."""
    side_N = seen.split_N[sample.rows]
    train = np.flatnonzero(side_N == 0)
    if len(train) < FEWEST or not any((side_N == side).sum() >= FEWEST for side in (1, 2)):
        return
    vectors = sample.input_vectors
    own = nearest(vectors[train[:MOST_COMPARED]], vectors[train], own=True)
    limit = np.quantile(own, USUAL)
    for side in (2, 1):
        rows = np.flatnonzero(side_N == side)
        if len(rows) < FEWEST:
            continue
        far = rows[nearest(vectors[rows], vectors[train]) < limit]
        if len(far) > TIMES * USUAL * len(rows) and len(far) >= 10:
            rows_N = sample.rows[far]
            yield Found("D513", "warning", f"{plural(len(rows_N), f'{SPLITS[side]} row')} ({len(far) / len(rows):.0%}) {'is' if len(far) == 1 else 'are'} unlike any training row, where {USUAL:.0%} would be usual: {seen.where(int(rows_N[0]))} the first", rows_N, "gather training rows of these topics, or expect worse answers there")


def nearest(vectors: np.ndarray, others: np.ndarray, *, own: bool = False) -> np.ndarray:
    """Cosine to the nearest of the others; with `own`, the row itself stands among them first and is passed over."""
    best = np.zeros(len(vectors), dtype=np.float32)
    for at in range(0, len(vectors), 512):
        near = vectors[at : at + 512] @ others.T
        if own:
            near[np.arange(len(near)), np.arange(at, at + len(near))] = -1
        best[at : at + 512] = near.max(axis=1)
    return best
