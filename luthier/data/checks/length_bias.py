"""D164: answers that are preferred for their length alone."""
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import Finding
from luthier.data.judgements import Judgements

LEAST_PAIRS = 50
BIASED = 0.6
"""Share of the pairs that a rule by length gets right from which it is told."""


def check(judged: Judgements) -> Iterator[Finding]:
    """A warning where always taking the longer (or the shorter) answer would be right in at least 60 % of the pairs: models learn that rule first."""
    pairs = np.flatnonzero(judged.column("second"))
    if len(pairs) < LEAST_PAIRS:
        return
    difference = judged.column("lengths")[pairs]
    longer, shorter = float((difference > 0).mean()), float((difference < 0).mean())
    share, word = (longer, "longer") if longer >= shorter else (shorter, "shorter")
    if share >= BIASED:
        yield Finding(
            "D164", "warning", f"the {word} answer is the chosen one in {share:.0%} of {len(pairs):,} pairs: a model may learn length and nothing else", count=len(pairs), field="chosen",
            hint=f"add pairs in which the {word} answer is the worse one; the verdict names what a rule by length reaches",
        )
