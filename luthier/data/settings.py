"""What a recipe says about data: where it comes from, how it is read, how it is split."""
import re
from dataclasses import dataclass, field
from typing import Literal

LARGEST_LINE = 16 << 20
ACCEPTED = ("D141", "D142", "D143", "D505", "D511")
"""What the doctor calls an error where most rows have it, and what a person may mean all the same."""


@dataclass
class DataSettings:
    """Data: sources, columns, split, and what happens to rows that cannot be used."""

    train: str = ""
    """File, folder, hub id (`user/name[:config][@revision]`) or `-` for stdin."""
    sources: dict[str, str] = field(default_factory=dict)
    """Instead of `train`, several data sets by names of your own (`{summaries: a.jsonl, questions: b.csv}`); each has its own columns, split, account and figures."""
    weights: dict[str, float] = field(default_factory=dict)
    """How often a row of a source is learned beside those of the others, by the source's name; 1 for those that are not named."""
    temperature: float = 1.0
    """Evens out sources of unlike size: a source's share of the training examples follows their number to the power of 1 / temperature."""
    held_out: dict[str, str] = field(default_factory=dict)
    """Data sets of other kinds of task, by names of your own, that are never learned from: answered before and after, without examples and with three."""
    validation: str | float = 0.1
    """Rows that choose the checkpoint: a share of the training rows (0.1 or 10%), a file of their own, or 0 for none."""
    test: str | float = 0.1
    """Rows that give the headline number and nothing else: a share, or a file, which then wins over the training rows."""
    map: dict[str, str] = field(default_factory=dict)
    """Which column is what (`{text: ticket_text, label: queue}`); empty: guessed from names and values, and announced."""
    group: str | None = None
    """Column whose equal values stay on one side of the split (customer, author, document)."""
    row_weight: str | None = None
    """Column of numbers above 0: how much each row counts in learning, where 1 is usual; `check --fix balance --balance reweight` writes one."""
    labels: list[str] | None = None
    """The only labels allowed; none: those of the training rows. Where tags are class numbers, their names in the order of the numbers."""
    on_bad_row: Literal["stop", "skip"] = "stop"
    """`skip` leaves bad rows out, counts them and writes them to rejected.jsonl with the reason."""
    accept: list[str] = field(default_factory=list)
    """Codes of errors of the doctor that are meant as they are (`[D142]`): they warn, and training goes on."""
    when_long: Literal["exclude", "drop_turns"] = "exclude"
    """A conversation longer than the model's context is left out; `drop_turns` takes its oldest exchanges off it instead, from both answers of a pair alike. An answer is never cut."""
    max_rows: int | None = None
    """Read at most this many rows of each file."""
    max_line_bytes: int = LARGEST_LINE
    """Longest row that is read; a longer one is a bad row and never fills the memory."""
    min_test_rows: int = 100
    """Fewer test rows than this are said to be few."""
    allow_overlap: bool = False
    """Keep training rows that also stand in the validation or test file; the score then flatters."""
    min_learned_share: float = 0.01
    """Refuse to train when less than this share of the tokens would be learned."""
    replay: str | float = 0.0
    """Share of the training rows that are general rows, against forgetting (10%): they stand between the task's own rows."""
    replay_from: str | None = None
    """Where general rows come from: a file or hub data set of the task's kind of record, or of plain text; none: thirty passages that ship."""
    canaries: int = 0
    """Secrets planted in the training rows (1, 4 or 32 times each), to measure afterwards whether the model gives them away."""

    def __post_init__(self):
        share(self.replay, "replay")
        if strange := sorted(set(self.accept) - {*ACCEPTED}):
            raise ValueError(f"`accept` takes {', '.join(ACCEPTED)}, got {strange[0]}")
        if not 0 <= self.canaries <= 100:
            raise ValueError(f"`canaries` must lie between 0 and 100, got {self.canaries}")
        shares = [share(self.validation, "validation") or 0.0, share(self.test, "test") or 0.0]
        if sum(shares) >= 1:
            raise ValueError(f"`validation` and `test` take {sum(shares):.0%} of the rows, which leaves none to train on")
        for name in (*self.sources, *self.held_out):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
                raise ValueError(f"a source is named by letters, digits, - and _, at most 40, got {name!r}")
        if not 0.1 <= self.temperature <= 1000 or any(not 0 < weight <= 1e6 for weight in self.weights.values()):
            raise ValueError("`temperature` must lie between 0.1 and 1000, and every weight above 0")
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"`max_rows` must be at least 1, got {self.max_rows}")
        if not 64 <= self.max_line_bytes <= 1 << 30:
            raise ValueError(f"`max_line_bytes` must lie between 64 and {1 << 30:,}, got {self.max_line_bytes:,}")
        if not 0 <= self.min_learned_share <= 1:
            raise ValueError(f"`min_learned_share` must lie between 0 and 1, got {self.min_learned_share}")


def share(value: str | float, name: str = "share") -> float | None:
    """The share that a setting means: 0.1, "0.1" and "10%" are 0.1, "" and "none" are 0; None where it names a file."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in ("", "none"):
            return 0.0
        if not (match := re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(%?)", text)):
            return None
        value = float(match[1]) / (100 if match[2] else 1)
    if not 0 <= value < 1:
        raise ValueError(f"`{name}` is a share of the rows from 0 to below 1, got {value:g}")
    return float(value)
