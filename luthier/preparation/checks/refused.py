"""D414: conversations that the chat template does not take."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.preparation.cache import PreparedSplit
from luthier.preparation.examples import NOTHING_LEARNED, TOO_LONG
from luthier.preparation.renderer import SLIPPED, Renderer


def check(split: str, prepared: PreparedSplit, renderer: Renderer, least: float) -> Iterator[Finding]:
    """One warning for each reason; an error where it is every row."""
    for reason, count in prepared.left_out.items():
        if reason not in (TOO_LONG, NOTHING_LEARNED, SLIPPED):
            level = "error" if count == prepared.rows else "warning"
            yield Finding("D414", level, f"{count:,} of {prepared.rows:,} {split} rows are left out: {reason}", rows=prepared.left_out_rows.get(reason), count=count, hint="change these conversations as the template expects, or use another template")
