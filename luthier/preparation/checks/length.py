"""D410: rows longer than the context, and texts that lose their end."""
from collections.abc import Iterator

import numpy as np

from luthier.data.findings import Finding
from luthier.preparation.cache import PreparedSplit
from luthier.preparation.examples import TOO_LONG
from luthier.preparation.renderer import Renderer

HINT = "shorten these rows, split long conversations, or choose a base with a longer context"


def check(split: str, prepared: PreparedSplit, renderer: Renderer, least: float) -> Iterator[Finding]:
    """An error where no row of the split fits, else a warning with the tokens that are lost."""
    if count := prepared.left_out.get(TOO_LONG, 0):
        none_fits = count == prepared.rows
        lost = f"{count:,} of {prepared.rows:,} {split} rows are longer than the context of {renderer.context:,} tokens and left out whole ({prepared.cut:,} tokens); no answer is cut"
        yield Finding("D410", "error" if none_fits else "warning", lost, rows=prepared.left_out_rows[TOO_LONG], count=count, hint=HINT)
    shortened = int(np.count_nonzero(prepared.store.cuts))
    if shortened:
        lost = f"{shortened:,} of {prepared.rows:,} {split} texts are longer than the context of {renderer.context:,} tokens and lose their end ({int(prepared.store.cuts.sum()):,} tokens)"
        yield Finding("D410", "warning", lost, count=shortened, hint="choose a base with a longer context, if what decides the label stands late in the text")
