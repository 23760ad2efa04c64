"""D165: prompts that stand more than once."""
from collections.abc import Iterator

import numpy as np

from luthier.data.checks.duplicates import repeated
from luthier.data.findings import Finding
from luthier.data.judgements import Judgements

SHARE = 0.05
"""Below this share of the rows, a repeated prompt needs no telling: people are asked the same thing now and then."""


def check(judged: Judgements) -> Iterator[Finding]:
    """A warning where more than a twentieth of the rows ask what an earlier row asked: they count as fewer than they are, and stand on one side of the split."""
    rows = repeated(judged.column("asked"))
    if len(rows) > SHARE * len(judged):
        yield Finding("D165", "warning", f"{len(rows):,} of {len(judged):,} rows repeat the prompt of an earlier row", **judged.place(np.asarray(rows)), hint="more prompts teach more than more answers to one prompt")
