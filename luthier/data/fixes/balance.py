"""Balance: fewer rows of labels that crowd out the others (`resample`), weights by which no label goes with a group of people (`reweight`), or more rows in
which another group is spoken of (`counterfactual`).

All say the slice gap before and after: by how much the share of a label differs most between rows that speak of a group and all others.
"""
import re

import numpy as np

from luthier.data.lexicon import lexicon

MOST_TIMES = 5
"""After resampling no label has more than this many times the rows of the median label."""
FEWEST = 10
WEIGHT = "row_weight"
"""The column that weights are written to."""
LEAST_WEIGHT, MOST_WEIGHT, RAKED = 0.1, 10.0, 50
WORD = re.compile(r"[^\W\d_]+")
FUNCTION = frozenset("and or but to for with by at in on of as is was are were from that then when if because about than after before while".split())


def surplus(label_N: np.ndarray, key_N: np.ndarray) -> np.ndarray:
    """Rows to leave out so that no label has more than five times the rows of the median label: those of the largest keys, the same in every run."""
    counts = np.bincount(label_N[label_N >= 0])
    present = counts[counts > 0]
    if len(present) < 2:
        return np.zeros(0, dtype=np.int64)
    most = int(MOST_TIMES * max(np.median(present), 1)) if len(present) > 2 else int(MOST_TIMES * present.min())
    gone = [np.flatnonzero(label_N == label)[np.argsort(key_N[label_N == label], kind="stable")[most:]] for label in np.flatnonzero(counts > most)]
    return np.sort(np.concatenate(gone)) if gone else np.zeros(0, dtype=np.int64)


def swapped(text: str) -> str:
    """The text with every gendered word as its counterpart, in its case; the same text where there is none."""
    swaps = lexicon("people")["swaps"]

    def other(match: re.Match) -> str:
        word = match[0]
        low = word.lower()
        if low == "his":
            new = "her"
        elif low == "her":
            following = WORD.match(text, match.end() + 1)
            new = "his" if text[match.end() : match.end() + 1] == " " and following and following[0].lower() not in FUNCTION else "him"
        else:
            new = swaps.get(low, low)
        return word if new == low else new.upper() if word.isupper() and len(word) > 1 else new.capitalize() if word[0].isupper() else new

    return WORD.sub(other, text)


def weights(label_N: np.ndarray, slices: dict[str, np.ndarray], labels: int) -> np.ndarray:
    """A weight for each row by which every label has the same share among a group's rows as among all others, and every label and group the same sum as before.

    Weights of independence (Kamiran and Calders 2012), for one group after the other until all hold (raking, Deming and Stephan 1940); kept between 0.1 and
    10. Groups of fewer than ten rows are left alone.
    """
    weight_N = np.ones(len(label_N))
    known = label_N >= 0
    large = [rows_N for rows_N in slices.values() if min((label_N[rows_N] >= 0).sum(), known.sum() - (label_N[rows_N] >= 0).sum()) >= FEWEST]
    share_K = np.bincount(label_N[known], minlength=labels) / max(1, known.sum())
    for _ in range(RAKED):
        before_N = weight_N.copy()
        for rows_N in large:
            inside = np.zeros(len(label_N), dtype=bool)
            inside[rows_N] = True
            for part in (inside & known, ~inside & known):
                mine_K = np.bincount(label_N[part], weights=weight_N[part], minlength=labels)
                factor_K = np.where(mine_K > 0, share_K * mine_K.sum() / np.maximum(mine_K, 1e-9), 1.0)
                weight_N[part] = np.clip(weight_N[part] * factor_K[label_N[part]], LEAST_WEIGHT, MOST_WEIGHT)
        if np.abs(weight_N - before_N).max() < 1e-4:
            break
    return weight_N.round(4)


def gap(label_N: np.ndarray, slices: dict[str, np.ndarray], labels: int, weight_N: np.ndarray | None = None) -> tuple[float, str]:
    """The largest difference of a label's share between a group's rows and all others, each row counting as its weight says, and the group."""
    weight_N = np.ones(len(label_N)) if weight_N is None else weight_N
    worst, name = 0.0, ""
    for group, rows_N in slices.items():
        rest = np.delete(np.arange(len(label_N)), rows_N)
        mine, others = rows_N[label_N[rows_N] >= 0], rest[label_N[rest] >= 0]
        if len(mine) >= FEWEST and len(others) >= FEWEST:
            shares = [np.bincount(label_N[some], weights=weight_N[some], minlength=labels) / weight_N[some].sum() for some in (mine, others)]
            difference = float(np.abs(shares[0] - shares[1]).max())
            worst, name = max((worst, name), (difference, group))
    return worst, name
