"""What can be put right, each under the name that `check --fix` takes.

Some fixes leave rows out, some change texts, some change labels. A fix that rests on a judgment of statistics (JUDGED) is made once: what is left is not judged
again, or every round would find new rows. All others are made until nothing is left to do, so that fixing what was fixed changes nothing.
"""
from collections.abc import Callable
from dataclasses import dataclass

from luthier.data.fixes import characters, private


@dataclass(frozen=True)
class LeaveOut:
    """Rows of findings leave."""

    codes: tuple[str, ...]
    words: str
    judged: bool = False


@dataclass(frozen=True)
class Change:
    """Every text of the columns in use goes through a function."""

    codes: tuple[str, ...]
    words: str
    make: Callable
    """Options -> function from text to text."""


@dataclass(frozen=True)
class Relabel:
    """Labels of rows are written as the finding says."""

    codes: tuple[str, ...]
    words: str
    judged: bool = False


FIXES: dict[str, LeaveOut | Change | Relabel] = {
    "unreadable": LeaveOut((), "rows that cannot be read or used"),
    "duplicates": LeaveOut(("D201",), "copies of an earlier row"),
    "near_duplicates": LeaveOut(("D203",), "near copies of an earlier row"),
    "leakage": LeaveOut(("D401", "D404"), "training rows that are tested too"),
    "benchmark": LeaveOut(("D405",), "rows of the benchmark named by --against"),
    "cut": LeaveOut(("D140",), "answers that are cut off"),
    "placeholders": LeaveOut(("D141",), "placeholder text"),
    "echoes": LeaveOut(("D142",), "answers that repeat the question"),
    "refusals": LeaveOut(("D143",), "answers in another model's voice"),
    "conflicts": LeaveOut(("D202", "D205"), "one input with different labels or answers"),
    "repeats": LeaveOut(("D509",), "conversations that repeat a turn"),
    "tool_calls": LeaveOut(("D511",), "tool calls that cannot be read"),
    "injections": LeaveOut(("D507",), "orders to a model"),
    "languages": LeaveOut(("D502",), "few rows of another language", judged=True),
    "label_errors": LeaveOut(("D309",), "labels that are probably wrong", judged=True),
    "unfit": LeaveOut(("D311",), "answers that do not fit their question", judged=True),
    "poison": LeaveOut(("D508",), "rare phrases tied to one label or answer", judged=True),
    "pii": Change(("D501",), "private things", private.make),
    "invisible": Change(("D506",), "invisible characters", characters.without_invisible),
    "mojibake": Change(("D505",), "broken characters", characters.unbroken),
    "control_tokens": Change(("D510",), "control tokens", characters.without_tokens),
    "labels": Relabel(("D307",), "labels that differ only in spelling"),
    "relabel": Relabel(("D309",), "labels that are probably wrong, by the label that is probably meant", judged=True),
    "label_names": Relabel(("D308",), "rare labels spelled nearly as common ones"),
}
PLAIN = ("unreadable", "duplicates", "invisible", "mojibake", "labels")
"""What a bare `--fix` does: what nobody would decide otherwise."""
ALL = tuple(name for name in FIXES if name not in ("conflicts", "benchmark", "languages", "relabel"))
"""What `--fix all` does."""
BALANCE = "balance"
LAST = "conflicts"
"""Made after what is judged, which may have settled the conflict."""


def judged(name: str) -> bool:
    return name in FIXES and not isinstance(FIXES[name], Change) and FIXES[name].judged
