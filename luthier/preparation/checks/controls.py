"""D415: text in the data that spells the model's control tokens or the template's marks between turns."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.preparation.cache import PreparedSplit
from luthier.preparation.renderer import SLIPPED, Renderer

NAMED = 5


def check(split: str, prepared: PreparedSplit, renderer: Renderer, least: float) -> Iterator[Finding]:
    """A note on what was neutralised, a warning on rows where that could not be done."""
    if prepared.neutralised:
        count = sum(prepared.neutralised.values())
        most = sorted(prepared.neutralised.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{text} ({times:,})" for text, times in most[:NAMED]) + (" ..." if len(most) > NAMED else "")
        yield Finding("D415", "info", f"control text in the {split} rows is read as plain text {count:,} times: {named}", count=count, hint="nothing to do; if these were meant as turns, give the rows as messages with roles")
    if count := prepared.left_out.get(SLIPPED, 0):
        yield Finding("D415", "warning", f"{count:,} {split} rows spell control tokens in a way that cannot be neutralised and are left out", rows=prepared.left_out_rows[SLIPPED], count=count, hint="remove the control tokens from these rows")
