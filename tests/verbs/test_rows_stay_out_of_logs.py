"""No word of the rows stands in what a run says or logs: markers planted into a thousand rows are looked for in every log, and found nowhere."""
import contextlib
import io
import json

import pytest

from luthier.commands.app import main
from luthier.runs.folder import Run

LOGS = ("events.jsonl", "metrics.jsonl", "run.json", "luthier.yaml", "config.resolved.yaml", "trainer_state.json")


def planted(count: int) -> list[str]:
    return [f"zq{number:04d}x" for number in range(count)]


def marked_rows(path, count: int) -> None:
    rows = [{"messages": [{"role": "user", "content": f"where is {marker}?"}, {"role": "assistant", "content": f"{marker} is here"}]} for marker in planted(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def leaked(text: str, count: int) -> int:
    return sum(marker in text for marker in planted(count))


@pytest.fixture
def told(base, here, monkeypatch):
    """Train on a thousand marked rows through the program; returns what it printed and the run."""
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    marked_rows(here / "rows.jsonl", 1000)
    words = ["train", str(here / "rows.jsonl"), f"model={base}", "task=chat", "method=full", "training.max_steps=4", "training.evaluate_every=2", "training.batch_size=8", "training.threads=1",
             "training.validation_rows=4", "evaluation.contestants=[majority,tuned]", "evaluation.max_rows=10", "evaluation.max_new_tokens=8", "evaluation.resamples=200", "--name", "marked"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code, err.getvalue()
    return out.getvalue() + err.getvalue(), Run(here / "runs" / "marked")


def test_no_marker_in_any_log(told):
    printed, run = told
    logs = [path for name in LOGS for path in run.path.rglob(name)]
    assert {path.name for path in logs} == set(LOGS)
    found = {path.name: leaked(path.read_text(), 1000) for path in logs} | {"printed": leaked(printed, 1000)}
    assert not any(found.values()), found
    assert leaked((run.data_folder / "train.jsonl").read_text(), 1000) > 500, "the search finds what is there"


def test_a_log_that_tells_a_row_is_caught(told):
    """Negative control."""
    printed, run = told
    row = json.loads((run.data_folder / "train.jsonl").read_text().splitlines()[0])
    run.append("events.jsonl", {"time": 0, "kind": "note", "message": f"a bad row: {row['messages']}", "data": {}})
    assert leaked((run.path / "events.jsonl").read_text(), 1000) == 1
