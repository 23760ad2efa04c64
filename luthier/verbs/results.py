"""What a verb answers: a value with the stable JSON shape under `--json`."""
from dataclasses import dataclass, field


@dataclass
class RunResult:
    """What `train`, `eval` and `demo` answer."""

    run: str
    """Name of the run."""
    folder: str
    """Its folder."""
    status: str
    """done, stopped or failed."""
    seconds: float
    """Wall time of this call."""
    verdict: dict | None = None
    """As in verdict.json."""
    more: dict = field(default_factory=dict)
    """What only some verbs answer: gates, question."""

    def to_dict(self) -> dict:
        shape = {"run": self.run, "folder": self.folder, "status": self.status, "seconds": round(self.seconds, 2), "verdict": self.verdict}
        return {**shape, **self.more}


@dataclass
class Answered:
    """What a verb with a shape of its own answers."""

    values: dict
    """The shape."""

    def to_dict(self) -> dict:
        return self.values
