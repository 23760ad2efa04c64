"""A run on disk: one folder that explains itself, written by whoever runs it and read by everyone else."""
import json
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

from luthier.errors import RecipeError
from luthier.files import FolderLock, read_json, sweep, write_file, write_json
from luthier.runs.events import Event

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
CALIBRATION = "calibration.json"
ADJECTIVES = "amber brisk calm deep early fair gentle honest keen light mellow noble plain quiet rare steady tidy vivid warm young".split()
NOUNS = "alder badger cedar dove elm finch grove heron iris jay kestrel larch maple nightjar otter pine quail robin spruce thrush".split()


def runs_root() -> Path:
    """The folder that holds all runs: LUTHIER_RUNS, else ./runs."""
    return Path(os.environ.get("LUTHIER_RUNS") or "runs")


class Run:
    """A run's folder and the files in it; every path is given here and nowhere else."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.name = self.path.name
        self.lost_rows = 0
        """Rows that a full or broken disk did not take since this value was made."""

    @property
    def data_folder(self) -> Path:
        return self.path / "data"

    @property
    def tokens_folder(self) -> Path:
        return self.path / "tokens"

    @property
    def model_folder(self) -> Path:
        return self.path / "model"

    @property
    def calibration_file(self) -> Path:
        """What the confidence of the saved model's answers was fitted to: part of the model, so that no copy of it loses it."""
        return self.model_folder / CALIBRATION

    @property
    def evaluation_folder(self) -> Path:
        return self.path / "evaluation"

    # ---- facts --------------------------------------------------------------------------------
    def facts(self) -> dict:
        """What run.json says: status, phase, seed, versions, machine, data, model, cost."""
        return read_json(self.path / "run.json")

    def calibration(self) -> dict:
        """What was fitted, from the model's own folder; of a run that is older than that file, from run.json."""
        return read_json(self.calibration_file) if self.calibration_file.exists() else self.facts().get("calibration") or {}

    def update(self, **facts) -> dict:
        """Durably merge facts into run.json."""
        path = self.path / "run.json"
        merged = {**(read_json(path) if path.exists() else {}), **facts}
        write_json(path, merged)
        return merged

    def recipe(self) -> dict:
        """The resolved recipe as a mapping."""
        return read_json(self.path / "config.resolved.json")

    def status(self) -> str:
        return self.facts()["status"]

    # ---- logs ---------------------------------------------------------------------------------
    def append(self, file: str, row: dict) -> bool:
        """Add one JSON line to a log; a torn last line of a killed process is cut off first.

        Where the disk does not take it, the log is left as it was, the row is counted as lost, and the answer is False: a log that is
        full is no reason to lose the work that it is about.
        """
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        try:
            with open(self.path / file, "ab") as stream:
                whole = cut_torn_line(stream)
                try:
                    stream.write(line)
                    stream.flush()
                except OSError:
                    os.ftruncate(stream.fileno(), whole)
                    raise
        except OSError:
            self.lost_rows += 1
            return False
        return True

    def rows(self, file: str) -> list[dict]:
        """All whole lines of a JSONL log; none where the file is not there yet."""
        path = self.path / file
        if not path.exists():
            return []
        with open(path, encoding="utf-8") as stream:
            return [json.loads(line) for line in stream if line.endswith("\n")]

    def keep_rows(self, file: str, keep) -> None:
        """Durably rewrite a log with the rows for which `keep(row)` holds: what a resumed run will write again must not stand twice."""
        rows = [row for row in self.rows(file) if keep(row)]
        write_file(self.path / file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    def event(self, event: Event) -> None:
        """Log what was said, except progress, which is for the moment only, and figures, which have a log of their own."""
        if event.kind not in ("progress", "step", "row"):
            self.append("events.jsonl", {"time": round(time.time(), 3), "kind": event.kind, "message": event.message, "data": event.data})

    def lock(self) -> FolderLock:
        return FolderLock(self.path)


def cut_torn_line(stream) -> int:
    """Cut a log back to its last whole line; returns its length in bytes."""
    length = stream.seek(0, os.SEEK_END)
    if not length:
        return 0
    with open(stream.name, "rb") as reader:
        reader.seek(length - 1)
        if reader.read(1) == b"\n":
            return length
        reader.seek(0)
        whole = reader.read().rfind(b"\n") + 1
    os.ftruncate(stream.fileno(), whole)
    stream.seek(whole)
    return whole


# ---- making and finding -------------------------------------------------------------------------
def fresh_name(root: Path) -> str:
    """An unused two-word name; drawn from the system's randomness so that two processes do not meet."""
    draw = random.SystemRandom()
    names = (f"{draw.choice(ADJECTIVES)}-{draw.choice(NOUNS)}" for _ in range(1000))
    return next((name for name in names if not (root / name).exists()), f"run-{time.time_ns()}")


def numbered_name(root: Path, stem: str) -> str:
    """`stem`, or `stem-2`, `stem-3` ... where it is taken."""
    return next(name for number in range(1, 100000) if not (root / (name := stem if number == 1 else f"{stem}-{number}")).exists())


def create(name: str = "", *, stem: str = "") -> Run:
    """Make a new run folder; a name that is taken or not a plain name is a RecipeError."""
    root = runs_root()
    root.mkdir(parents=True, exist_ok=True)
    name = name or (numbered_name(root, stem) if stem else fresh_name(root))
    if not NAME.fullmatch(name):
        raise RecipeError(f"{name!r} is no run name", code="R150", hint="use letters, digits, dot, dash and underscore")
    try:
        (root / name).mkdir()
    except FileExistsError:
        raise RecipeError(f"a run named {name!r} exists in {root}", code="R151", hint="choose another --name, or continue it with --resume") from None
    run = Run(root / name)
    run.update(name=name, status="created", created=round(time.time(), 3))
    return run


def everything() -> Iterator[Run]:
    """All runs, the newest first."""
    root = runs_root()
    found = [Run(path.parent) for path in root.glob("*/run.json")] if root.is_dir() else []
    yield from sorted(found, key=lambda run: -run.facts().get("created", 0))


def find(name: str) -> Run:
    """A run by name, unique prefix, `last`, or path; else a RecipeError that lists what there is."""
    if os.path.isfile(Path(name) / "run.json"):
        return Run(Path(name).resolve())
    runs = list(everything())
    if name == "last" and runs:
        return runs[0]
    matches = [run for run in runs if run.name == name] or [run for run in runs if run.name.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    listed = ", ".join(run.name for run in (matches or runs)[:10]) or "none yet"
    reason = f"{name!r} fits several runs" if matches else f"there is no run {name!r} in {runs_root()}"
    raise RecipeError(f"{reason}: {listed}", code="R152", hint="luthier runs ls")


def tidy(run: Run) -> list[str]:
    """Remove what a killed process left half-written in a run's folder; returns the names removed."""
    return sweep(run.path)
