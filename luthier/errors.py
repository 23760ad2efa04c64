"""Every error a user can meet, in one tree: what was got, what is allowed, what to type next.

The exit codes are the one table of the project; `docs/errors.md` prints it and a test holds the two equal.
"""

EXIT_CODES = {
    0: "ok",
    1: "the work failed, or checks found errors in the data",
    2: "usage or recipe",
    3: "does not fit (memory, hardware)",
    4: "a gate failed",
    5: "non-finite numbers",
    6: "disk or I/O",
    7: "no valid checkpoint, or it does not match",
    8: "folder in use",
    9: "refused for safety",
    130: "stopped by Ctrl-C after saving",
    143: "stopped by SIGTERM after saving",
}


class LuthierError(Exception):
    """An error that a user can act on.

    `message` says what is wrong in one sentence, `hint` what to type or change. Where it concerns a file, the place is exact:
    `line` and `column` are 1-based, `byte_offset` is 0-based, `field` is a JSON path or a CSV header, `rows` are 1-based record
    numbers (the first 20, with `count` for all).
    """

    exit_code = 1
    default_code = "E100"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "",
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        byte_offset: int | None = None,
        field: str | None = None,
        rows: list[int] | None = None,
        count: int | None = None,
    ):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code
        self.file, self.line, self.column, self.byte_offset = file, line, column, byte_offset
        self.field, self.rows, self.count = field, rows, count

    def to_dict(self) -> dict:
        """The stable JSON shape of an error: that of a finding, without its level."""
        names = ("code", "message", "file", "line", "column", "byte_offset", "field", "rows", "count", "hint")
        return {name: getattr(self, name) for name in names}


class WorkFailed(LuthierError):
    """The work could not be finished."""


class DataError(LuthierError):
    """Data that must not reach a model; `findings` holds every finding as a dict, the first of them is the message."""

    default_code = "D100"

    def __init__(self, message: str, *, findings: list[dict] | None = None, **place):
        super().__init__(message, **place)
        self.findings = findings or []


class RecipeError(LuthierError):
    """Wrong usage, or a recipe that cannot be run as written."""

    exit_code = 2
    default_code = "R100"


class DoesNotFit(LuthierError):
    """Needs more memory, time or other hardware than this machine has."""

    exit_code = 3
    default_code = "M100"


class GateFailed(LuthierError):
    """A figure is on the wrong side of a gate that the user set."""

    exit_code = 4
    default_code = "G100"


class NonFinite(LuthierError):
    """NaN or infinity in a loss, a gradient or a weight."""

    exit_code = 5
    default_code = "T101"


class DiskError(LuthierError):
    """A file could not be read or written."""

    exit_code = 6
    default_code = "F100"


class CheckpointError(LuthierError):
    """No checkpoint verifies, or the one at hand belongs to something else."""

    exit_code = 7
    default_code = "C100"


class FolderInUse(LuthierError):
    """Another process works in this folder."""

    exit_code = 8
    default_code = "F108"


class Refused(LuthierError):
    """Refused for safety: pickles, remote code, paths outside the root, hostile templates."""

    exit_code = 9
    default_code = "S100"


class Stopped(LuthierError):
    """Stopped by a signal after a checkpoint was saved."""

    default_code = "T130"

    def __init__(self, message: str, *, signal_number: int, **place):
        super().__init__(message, **place)
        self.exit_code = 128 + signal_number
