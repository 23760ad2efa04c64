"""Balance: fewer rows of labels that crowd out the others (`resample`), or more rows in which another group of people is spoken of (`counterfactual`).

Both say the slice gap before and after: by how much the share of a label differs most between rows that speak of a group and all others.
"""
import re

import numpy as np

from luthier.data.lexicon import lexicon

MOST_TIMES = 5
"""After resampling no label has more than this many times the rows of the median label."""
FEWEST = 10
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


def gap(label_N: np.ndarray, slices: dict[str, np.ndarray], labels: int) -> tuple[float, str]:
    """The largest difference of a label's share between a group's rows and all others, and the group."""
    worst, name = 0.0, ""
    for group, rows_N in slices.items():
        rest = np.delete(np.arange(len(label_N)), rows_N)
        mine, others = label_N[rows_N], label_N[rest]
        mine, others = mine[mine >= 0], others[others >= 0]
        if len(mine) >= FEWEST and len(others) >= FEWEST:
            difference = float(np.abs(np.bincount(mine, minlength=labels) / len(mine) - np.bincount(others, minlength=labels) / len(others)).max())
            worst, name = max((worst, name), (difference, group))
    return worst, name
