"""D311: answers that do not seem to belong to their question.

Two signs per row, each against 64 answers of other rows: how near the answer is to the one that a model, which has not seen the row, expects from the
question; and how many rare words question and answer share. The rows are then a mixture of fitting and chance pairs; a row is told where chance is the
likelier (local false discovery rate, Efron 2004). Where fitting pairs look no different from chance, nothing is told.
"""
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import ANSWER, INPUT
from luthier.data.sample import Sample, counts_of, left_out, reduced, tfidf
from luthier.data.seen import Found, Seen, plural

FEWEST_ROWS = 200
OTHERS = 64
POWER = 0.9
"""How often a true pair must look better than a chance pair for the check to speak."""
MOST = 0.3
LIKELIER = 0.6


def check(sample: Sample, seen: Seen, embed=None) -> Iterator[Found]:
    """A warning with the rows, the worst first."""
    answers, bounds = sample.words(ANSWER)
    answered = np.flatnonzero(np.diff(bounds) > 0)
    if len(answered) < FEWEST_ROWS or len(np.unique(seen.answer_N[sample.rows[answered]])) < len(answered) / 4:
        return
    score_N, chance_N = scores(sample, answered)
    bad = unlikely(score_N, chance_N)
    if bad is None or not len(bad) or len(bad) > MOST * len(answered):
        return
    rows_N = sample.rows[answered[bad[np.argsort(score_N[bad], kind="stable")]]]
    why = dict.fromkeys(rows_N.tolist(), "the answer shares less with the question than answers of other rows do")
    yield Found("D311", "warning", f"{plural(len(rows_N))} {'has' if len(rows_N) == 1 else 'have'} an answer that does not seem to belong to the question{sample.scope()}: {seen.where(int(rows_N[0]))} the first", rows_N, "`--review` writes them to a small CSV to decide", fix="unfit", why=why)


def scores(sample: Sample, answered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How well each answer fits its question, and the same of a chance answer; in standard deviations over chance answers."""
    parts = [select(*sample.words(segment), answered) for segment in (INPUT, ANSWER)]
    question_ND, answer_ND = (reduced(tfidf(*part), 256) for part in parts)
    expected_ND = left_out(question_ND, answer_ND.astype(np.float64), 1.0)
    shared_Q, shared_A = weighed(*parts)
    count = len(answered)
    random = np.random.Generator(np.random.Philox(17))
    others_NO = (np.arange(count)[:, None] + random.integers(1, count, size=(count, OTHERS))) % count
    score_N, chance_N = np.zeros(count), np.zeros(count)
    for near in (lambda rows, other: np.einsum("nd,nd->n", expected_ND[rows], answer_ND[other]), lambda rows, other: np.asarray(shared_Q[rows].multiply(shared_A[other]).sum(axis=1)).ravel()):
        all_rows = np.arange(count)
        chance_NO = np.stack([near(all_rows, others_NO[:, at]) for at in range(OTHERS)], axis=1)
        middle, width = chance_NO[:, 1:].mean(axis=1), chance_NO[:, 1:].std(axis=1) + 1e-3
        score_N += np.clip((near(all_rows, all_rows) - middle) / width, -3, 6)
        chance_N += np.clip((chance_NO[:, 0] - middle) / width, -3, 6)
    return score_N, chance_N


def select(hash_W: np.ndarray, bounds_N: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The words of some rows only."""
    size = np.diff(bounds_N)
    keep = np.zeros(len(size), dtype=bool)
    keep[rows] = True
    return hash_W[np.repeat(keep, size)], np.concatenate([[0], np.cumsum(size[keep])])


def weighed(question: tuple, answer: tuple):
    """Question and answer over the same words, weighed by rarity, each row of length 1."""
    from scipy.sparse import diags

    made = [(counts_of(*part, pairs=False) > 0).astype(np.float32) for part in (question, answer)]
    found = np.asarray(made[0].sum(axis=0) + made[1].sum(axis=0)).ravel()
    weight = diags(np.log(2 * made[0].shape[0] / np.maximum(found, 1)) ** 2)
    made = [part @ weight for part in made]
    return [diags(1 / np.maximum(np.sqrt(np.asarray(part.multiply(part).sum(axis=1)).ravel()), 1e-9)) @ part for part in made]


def unlikely(score_N: np.ndarray, chance_N: np.ndarray) -> np.ndarray | None:
    """Rows for which chance is the likelier explanation; None where the scores cannot tell."""
    if (score_N > chance_N[np.random.Generator(np.random.Philox(3)).permutation(len(chance_N))]).mean() < POWER:
        return None
    middle = np.median(chance_N)
    share = min(1.0, (score_N <= middle).mean() / 0.5)
    edges = np.linspace(min(score_N.min(), chance_N.min()) - 1e-9, max(score_N.max(), chance_N.max()), 41)
    real, chance = (np.convolve(np.histogram(values, edges)[0] / len(values), [0.25, 0.5, 0.25], "same") for values in (score_N, chance_N))
    likely = share * chance / np.maximum(real, 1e-9)
    bins = np.clip(np.digitize(score_N, edges) - 1, 0, 39)
    return np.flatnonzero((likely[bins] > LIKELIER) & (score_N < np.median(score_N)))
