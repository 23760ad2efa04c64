"""D513: rows of the test (or validation) data, or of what is asked in use, unlike anything in training."""
from collections.abc import Iterator, Sequence

import numpy as np

from luthier.data.columns import INPUT, Batch, Facets
from luthier.data.sample import DIMENSIONS, Embed, Sample, reduced, tfidf, unit
from luthier.data.seen import Found, Seen, plural
from luthier.data.split import SPLITS

FEWEST = 50
USUAL = 0.02
"""Of the training rows, this share is as far from all others as what is told here."""
TIMES = 3
MOST_COMPARED = 4000
MOST_TEXTS = 20_000


def check(sample: Sample, seen: Seen, embed=None) -> Iterator[Found]:
    """A warning where a later split has several times as many rows far from training as training itself has."""
    side_N = seen.split_N[sample.rows]
    train = np.flatnonzero(side_N == 0)
    if len(train) < FEWEST or not any((side_N == side).sum() >= FEWEST for side in (1, 2)):
        return
    vectors = sample.vectors(embed)
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


def in_use(sample: Sample, seen: Seen, name: str, texts: Sequence[str], embed: Embed | None = None) -> Iterator[Found]:
    """A warning where what is asked in use (`texts` of the file `name`) holds several times as many texts far from training as training itself has."""
    train = np.flatnonzero(seen.split_N[sample.rows] == 0)
    texts = texts[:MOST_TEXTS]
    if len(train) < FEWEST or len(texts) < FEWEST:
        yield Found("D513", "info", f"{name} has {plural(len(texts), 'text')} and training {plural(len(train))}: too few to compare", count=len(texts))
        return
    vectors = joined(sample, texts, embed)
    own, asked = vectors[: len(sample.rows)][train], vectors[len(sample.rows) :]
    limit = np.quantile(nearest(own[:MOST_COMPARED], own, own=True), USUAL)
    far = np.flatnonzero(nearest(asked, own) < limit)
    share = len(far) / len(asked)
    if share > TIMES * USUAL and len(far) >= 10:
        yield Found("D513", "warning", f"{plural(len(far), 'text')} of {name} ({share:.0%}) {'is' if len(far) == 1 else 'are'} unlike any training row, where {USUAL:.0%} would be usual: text {int(far[0]) + 1:,} the first", count=len(far), hint="gather training rows of these topics, or expect worse answers there")
    else:
        yield Found("D513", "info", f"{share:.0%} of the {plural(len(asked), 'text')} of {name} are unlike any training row; {USUAL:.0%} would be usual", count=len(far))


def joined(sample: Sample, texts: Sequence[str], embed: Embed | None) -> np.ndarray:
    """Vectors of the sampled rows and of further texts, in one space."""
    if embed is not None:
        return np.concatenate([sample.vectors(embed), unit(embed(list(texts)))])
    batch = Batch(0, 0, [Facets((text, "", "")) for text in texts])
    more, bounds = batch.input_bounds
    words, starts = sample.words(INPUT)
    return reduced(tfidf(np.concatenate([words, more]), np.concatenate([starts, starts[-1] + bounds[1:]])), DIMENSIONS)


def nearest(vectors: np.ndarray, others: np.ndarray, *, own: bool = False) -> np.ndarray:
    """Cosine to the nearest of the others; with `own`, the row itself stands among them first and is passed over."""
    best = np.zeros(len(vectors), dtype=np.float32)
    for at in range(0, len(vectors), 512):
        near = vectors[at : at + 512] @ others.T
        if own:
            near[np.arange(len(near)), np.arange(at, at + len(near))] = -1
        best[at : at + 512] = near.max(axis=1)
    return best
