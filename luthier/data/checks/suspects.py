"""D309: labels that are probably wrong.

Confident learning (Northcutt et al. 2021): every row is predicted by a model that has not seen it; a row whose prediction for another label is about as
sure as is usual for that label, while its own is far from it, is suspected. The model is ridge regression on text features, left-one-out in closed form.
"""
from collections.abc import Iterator

import numpy as np

from luthier.data.records import MultiLabelled
from luthier.data.sample import Embed, Sample, left_out
from luthier.data.seen import Found, Seen, plural

FEWEST_ROWS = 100
FEWEST_PER_LABEL = 3
OWN, OTHER = 0.4, 0.7
"""The own label is less sure than this part of what is usual for it, another label surer than that part of what is usual for that."""
MOST_SUSPECTS = 0.5


def check(sample: Sample, seen: Seen, embed: Embed | None = None) -> Iterator[Found]:
    """A warning with the suspected rows, the worst first, and the label that each probably deserves."""
    if not seen.label_names or seen.record is MultiLabelled:
        return
    labels = seen.label_N[sample.rows]
    counts = np.bincount(labels[labels >= 0], minlength=len(seen.label_names))
    usable = np.flatnonzero((labels >= 0) & (counts[np.maximum(labels, 0)] >= FEWEST_PER_LABEL))
    if len(usable) < FEWEST_ROWS or len(np.unique(labels[usable])) < 2:
        return
    names, label_N = np.unique(labels[usable], return_inverse=True)
    vectors = sample.vectors(embed)[usable]
    predicted_NK = predict(vectors, label_N, len(names))
    suspected, other, own = suspects(predicted_NK, label_N)
    if not len(suspected) or len(suspected) > MOST_SUSPECTS * len(usable):
        return
    order = suspected[np.argsort(own[suspected], kind="stable")]
    rows_N = sample.rows[usable[order]]
    name = lambda at: seen.label_names[names[at]]
    instead = {int(row): name(other[at]) for row, at in zip(rows_N, order)}
    why = {int(row): f"says `{name(label_N[at])}`; rows like it say `{name(other[at])}`" for row, at in zip(rows_N, order)}
    first = f"{seen.where(int(rows_N[0]))} {why[int(rows_N[0])]}"
    yield Found("D309", "warning", f"{plural(len(rows_N))} probably {'has' if len(rows_N) == 1 else 'have'} a wrong label ({len(rows_N) / len(usable):.1%}){sample.scope()}: {first}", rows_N, "`--review` writes them to a small CSV to decide", field="label", fix="label_errors", why=why, instead=instead)


def predict(vectors_ND: np.ndarray, label_N: np.ndarray, labels: int) -> np.ndarray:
    """How sure a model that has not seen a row is of each label (float [N, K], about 0 to 1)."""
    return np.clip(left_out(vectors_ND, np.eye(labels)[label_N], 0.3), 0, 1)


def suspects(predicted_NK: np.ndarray, label_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose label is probably wrong; for every row the best other label, and how sure its own label is relative to that label's usual."""
    at = np.arange(len(label_N))
    own_N = predicted_NK[at, label_N]
    count_K = np.bincount(label_N, minlength=predicted_NK.shape[1])
    usual_K = np.bincount(label_N, weights=own_N, minlength=predicted_NK.shape[1]) / np.maximum(count_K, 1)
    relative_NK = predicted_NK / np.maximum(usual_K, 1e-3)
    others_NK = relative_NK.copy()
    others_NK[at, label_N] = -1
    other_N = others_NK.argmax(axis=1)
    sure = others_NK[at, other_N] >= OTHER
    return np.flatnonzero(sure & (relative_NK[at, label_N] < OWN)), other_N, relative_NK[at, label_N]


def ranked(predicted_NK: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """All rows, the most suspicious first."""
    own = predicted_NK[np.arange(len(label_N)), label_N]
    return np.argsort(own, kind="stable")
