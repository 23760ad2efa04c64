"""A block of a document: what every reader yields."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A paragraph, list, table or piece of code."""

    text: str
    headings: tuple[str, ...] = ()
    """The headings it stands under, outermost first."""
    page: int | None = None
    """1-based, where the format has pages."""
    paragraph: int = 0
    """1-based number of the block in the document."""
    line: int | None = None
    """1-based, where the format has lines."""
