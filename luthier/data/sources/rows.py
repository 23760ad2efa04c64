"""A row as it stands in its file: named values and the place they stand at."""
from dataclasses import dataclass

from luthier.data.findings import Finding


@dataclass(slots=True)
class Row:
    """One row. `number` counts rows from 1, bad ones too; `line` and `byte_offset` are where it begins, None where the format has no lines."""

    values: dict
    line: int | None
    byte_offset: int | None
    number: int
    file: str


@dataclass(slots=True)
class Place:
    """What a reader needs to say where something stands."""

    file: str
    """As the user named it."""

    def note(self, message: str, hint: str = "", *, level: str = "info", code: str = "D133") -> Finding:
        return Finding(code, level, message, file=self.file, hint=hint)

    def stop(self, code: str, message: str, hint: str = "", *, line: int | None = None, column: int | None = None, byte_offset: int | None = None) -> Finding:
        """An error after which nothing more can be read."""
        return Finding(code, "error", message, file=self.file, line=line, column=column, byte_offset=byte_offset, hint=hint, fatal=True)
