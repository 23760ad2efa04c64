"""Read a run folder for its report: whatever is there, and a sentence for whatever cannot be read; nothing here raises for a bad file.

A failed run leaves half a folder, and a report must come of it too.
"""
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_ROWS = 4000
"""Lines kept of a log; longer ones are thinned evenly."""
MOST_EVALUATED = 20_000
"""Test rows read of one contestant."""
LONGEST_LINE = 1 << 20
LONGEST_FILE = 16 << 20


@dataclass
class RunFiles:
    """What a run folder says, with empty values for what it does not say."""

    path: Path
    facts: dict = field(default_factory=dict)
    verdict: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    probes: dict = field(default_factory=dict)
    sweep: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)
    advice: dict = field(default_factory=dict)
    check: dict = field(default_factory=dict)
    doctor: dict = field(default_factory=dict)
    ledger: dict = field(default_factory=dict)
    train: list[dict] = field(default_factory=list)
    validation: list[dict] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)
    recipe: str = ""
    best: dict = field(default_factory=dict)
    checkpoints: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.facts.get("name") or self.path.name)

    def evaluated(self, contestant: str) -> list[dict]:
        """The rows that a contestant answered; none where its file is not there."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", contestant):
            return []
        return thinned(self.path / "evaluation" / f"{contestant}.jsonl", MOST_EVALUATED, self.unreadable)


def read(path: Path) -> RunFiles:
    """Everything that a report needs from a run folder."""
    found = RunFiles(Path(path))
    trouble = found.unreadable
    found.facts = mapping(path / "run.json", trouble)
    found.verdict = mapping(path / "verdict.json", trouble)
    found.results = mapping(path / "evaluation" / "results.json", trouble)
    found.probes = mapping(path / "evaluation" / "probes.json", trouble)
    found.sweep = mapping(path / "evaluation" / "sweep.json", trouble)
    found.tables = mapping(path / "evaluation" / "tables.json", trouble)
    found.advice = mapping(path / "advice.json", trouble)
    found.check = mapping(path / "data" / "check.json", trouble)
    found.doctor = mapping(path / "doctor.json", trouble)
    found.ledger = mapping(path / "ledger.json", trouble) or inner(found.check, "ledger")
    found.train = thinned(path / "metrics.jsonl", MOST_ROWS, trouble, lambda row: row.get("kind") == "train")
    found.validation = thinned(path / "metrics.jsonl", MOST_ROWS, [], lambda row: row.get("kind") == "validation")
    found.events = thinned(path / "events.jsonl", MOST_ROWS, trouble, lambda row: row.get("kind") in ("warning", "phase", "error"))
    found.recipe = text(path / "config.resolved.yaml", trouble) or text(path / "luthier.yaml", trouble)
    found.best = mapping(path / "best.json", trouble)
    found.checkpoints = [folder.name for folder in sorted(path.glob("checkpoint-*"), key=step_of) if (folder / "manifest.json").is_file()]
    return found


def step_of(folder: Path) -> int:
    """The step in a checkpoint folder's name; -1 where it has none."""
    number = folder.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() and len(number) < 16 else -1


# ---- files --------------------------------------------------------------------------------------
def text(path: Path, trouble: list[str]) -> str:
    """A file's text, empty where there is none."""
    try:
        if not path.is_file():
            return ""
        if path.stat().st_size > LONGEST_FILE:
            trouble.append(f"{path.name} is larger than a report reads")
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        trouble.append(f"{path.name} cannot be read: {error.strerror}")
        return ""


def mapping(path: Path, trouble: list[str]) -> dict:
    """A JSON object, empty where there is none."""
    content = text(path, trouble)
    if not content:
        return {}
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        trouble.append(f"{path.name} is damaged")
        return {}
    return value if isinstance(value, dict) else {}


def thinned(path: Path, most: int, trouble: list[str], wanted: Callable[[dict], bool] = bool) -> list[dict]:
    """At most `most` of the wanted lines of a JSONL file, evenly spread; the last wanted line is always among them."""
    kept, stride, seen, last = [], 1, 0, None
    for row in objects(path, trouble):
        if not wanted(row):
            continue
        last = row
        if seen % stride == 0:
            kept.append(row)
        seen += 1
        if len(kept) >= most:
            kept, stride = kept[::2], stride * 2
    return kept if not kept or kept[-1] is last else [*kept, last]


def objects(path: Path, trouble: list[str]) -> Iterator[dict]:
    """The JSON objects of a JSONL file; damaged lines are counted in one sentence."""
    damaged = 0
    try:
        with open(path, "rb") as stream:
            while line := stream.readline(LONGEST_LINE):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    damaged += bool(line.strip())
                    continue
                if isinstance(row, dict):
                    yield row
    except FileNotFoundError:
        return
    except OSError as error:
        trouble.append(f"{path.name} cannot be read: {error.strerror}")
    if damaged:
        trouble.append(f"{path.name}: {damaged:,} line{'s' if damaged > 1 else ''} could not be read")


# ---- values -------------------------------------------------------------------------------------
def inner(values: object, *keys: str) -> dict:
    """The mapping below these keys, empty where there is none."""
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def items(values: object, key: str) -> list:
    """The list under a key, empty where there is none."""
    found = values.get(key) if isinstance(values, dict) else None
    return found if isinstance(found, list) else []


def number(value: object) -> float | None:
    """A finite number, else None; the log writes NaN and infinities as words."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def word(value: object) -> str:
    """A value as a word, empty for None."""
    return "" if value is None else str(value)
