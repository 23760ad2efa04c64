"""What happens in a run, told as small values to whoever listens: the run's own log, the command line, a web page."""
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    kind: str
    """phase, note, warning, progress, step, row or done."""
    message: str = ""
    """A plain sentence."""
    data: dict = field(default_factory=dict)
    """Figures: progress has task, done, total, unit; step has what a look at validation found; row has `folder` and `row`, as it stands in metrics.jsonl; warnings have code and step."""


Say = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""
