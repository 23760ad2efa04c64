"""Who set a value: its default, a file and line, a variable, the command line, or the program itself."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Origin:
    """Who set a value."""

    kind: Literal["default", "file", "environment", "command", "call", "auto"]
    """`call` is a keyword of the Python function; `auto` a number that the program worked out."""
    name: str = ""
    """The file, the variable, or the reason of an `auto`."""
    line: int | None = None
    """1-based line of the file."""

    def __str__(self) -> str:
        if self.kind == "file":
            return f"{self.name}:{self.line}" if self.line else self.name
        words = {"command": "command line", "call": "keyword of the call", "auto": f"auto: {self.name}"}
        return words.get(self.kind) or self.name or self.kind


Origins = dict[str, Origin]
"""By dotted key; a key that is absent has its default."""
