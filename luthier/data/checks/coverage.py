"""D515: how the rows spread over topics: groups of like rows (spherical k-means, Dhillon and Modha 2001, over weighed word counts)."""
from collections.abc import Iterator

import numpy as np

from luthier.data.sample import Embed, Sample
from luthier.data.seen import Found, Seen

FEWEST_ROWS = 200
MOST_ROWS = 5000
MOST_GROUPS, ROWS_A_GROUP = 40, 25
ROUNDS = 8


def check(sample: Sample, seen: Seen, embed: Embed | None = None) -> Iterator[Found]:
    """A notice: how many groups hold half of the rows, how large the largest is, and a row of each of the largest three."""
    if len(sample.rows) < FEWEST_ROWS:
        return
    vectors = sample.vectors(embed)
    taken = np.arange(0, len(vectors), max(1, len(vectors) // MOST_ROWS))
    group_N, centres = groups(vectors[taken], min(MOST_GROUPS, len(taken) // ROWS_A_GROUP))
    sizes = np.bincount(group_N, minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")
    half = int(np.searchsorted(np.cumsum(sizes[order]), len(taken) / 2)) + 1
    middle = [sample.rows[taken[np.flatnonzero(group_N == at)[(vectors[taken][group_N == at] @ centres[at]).argmax()]]] for at in order[:3] if sizes[at]]
    share = sizes / sizes.sum()
    spread = float(np.exp(-(share[share > 0] * np.log(share[share > 0])).sum()))
    listed = ", ".join(f"{seen.where(int(row))} ({share[at]:.0%})" for row, at in zip(middle, order))
    message = f"{half} of {len(centres)} groups of like rows hold half of all; the largest are those of {listed}; as even as {spread:.0f} groups of one size"
    yield Found("D515", "info", message, count=int(sizes[order[0]]), hint="where few groups hold most rows, gather rows of the others")


def groups(vectors_ND: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The group of every row and the centres, by rounds of assigning and averaging from rows drawn by lot; the same every time."""
    random = np.random.Generator(np.random.Philox(11))
    centres = vectors_ND[np.sort(random.choice(len(vectors_ND), size=count, replace=False))].copy()
    group_N = np.zeros(len(vectors_ND), dtype=np.int64)
    for _ in range(ROUNDS):
        group_N = (vectors_ND @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, group_N, vectors_ND)
        filled = np.linalg.norm(sums, axis=1) > 0
        centres[filled] = sums[filled] / np.linalg.norm(sums[filled], axis=1, keepdims=True)
    return group_N, centres
