"""Someone who answers records."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.tasks.answers import Answer


@dataclass(frozen=True)
class Contestant:
    """Someone who answers records."""

    name: str
    """As it stands in the verdict."""
    answer: Callable[[Sequence[Any]], list[Answer]]
    """From records to one answer each, in order; reads no target."""
    note: str = ""
    """How it was made, in a few words, where that is worth knowing."""
    seconds: float = 0.0
    """Wall time of making it."""
    told: list[str] = field(default_factory=list)
    """What came out while it answered, and belongs to its note."""
