"""The real program over verbs whose answers the test invents."""

import json
import sys
import types
from dataclasses import dataclass

import pytest

from luthier.commands.app import main


@dataclass
class Ran:
    """One run of the program."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


@pytest.fixture
def luthier(capsys, monkeypatch, tmp_path):
    """Run the command line in an empty folder: `luthier("check", "--json")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        captured = capsys.readouterr()
        return Ran(ended.value.code or 0, captured.out, captured.err)

    return run


class Result:
    """What a verb returns: an object with `to_dict`."""

    def __init__(self, values: dict):
        self.values = values

    def to_dict(self) -> dict:
        return self.values


@pytest.fixture
def verb(monkeypatch, tmp_path):
    """Put an invented verb in place: `verb("check", answer)`; a callable answer gets the arguments. Returns the list of calls."""

    def place(name: str, answer, *, module: str = "") -> list:
        calls: list = []

        def function(*positional, **named):
            calls.append((positional, named))
            found = answer(*positional, **named) if callable(answer) else answer
            return Result(found) if isinstance(found, dict) else found

        invented = types.ModuleType(f"luthier.verbs.{module or name}")
        vars(invented)[name] = function
        monkeypatch.setitem(sys.modules, invented.__name__, invented)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "luthier.yaml").touch()
        return calls

    return place


@pytest.fixture
def verdict() -> dict:
    rows = [("majority", 0.02, 1e-6), ("tfidf", 0.851, 0.0002), ("base", 0.071, 0.012), ("tuned", 0.872, 2.5)]
    return {
        "metric": "macro_f1", "higher_is_better": True, "n": 467, "winner": "tuned", "against": "tfidf",
        "difference": {"value": 0.021, "low": 0.004, "high": 0.046}, "paired_test": {"name": "mcnemar", "p": 0.03}, "minimum_detectable": 0.03,
        "contestants": [
            {"name": name, "value": value, "low": value - 0.01, "high": value + 0.01, "seconds_per_answer": seconds, "tokens": {"input": 1, "output": 1}}
            for name, value, seconds in rows
        ],
        "sentence": "Tuning helped. By 0.021 on 467 rows. Use it.",
    }  # fmt: skip


@pytest.fixture
def outcome(verdict) -> dict:
    return {"run": "quiet-otter", "folder": "runs/quiet-otter", "status": "done", "seconds": 249.0, "verdict": verdict}
