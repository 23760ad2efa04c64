"""Runs on disk: names, finding, logs, the count of evaluations, and files put right after a kill."""
import json
import multiprocessing
import os
import resource

import pytest

from luthier import files
from luthier.errors import FolderInUse, RecipeError, Refused
from luthier.runs import evaluations, folder
from luthier.runs.folder import Run


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_names(root):
    assert folder.create("one").name == "one"
    assert folder.create(stem="demo").name == "demo" and folder.create(stem="demo").name == "demo-2"
    assert folder.create().name != folder.create().name
    for wrong in ("../up", "a/b", "", ".hidden"):
        if wrong:
            with pytest.raises(RecipeError):
                folder.create(wrong)
    with pytest.raises(RecipeError, match="exists"):
        folder.create("one")


def test_a_torn_line_is_cut_before_the_next(root):
    """What a kill or a full disk left of a line must not spoil the one after it."""
    run = folder.create("torn")
    run.append("metrics.jsonl", {"step": 1})
    with open(run.path / "metrics.jsonl", "ab") as stream:
        stream.write(b'{"step": 2, "lo')
    assert run.append("metrics.jsonl", {"step": 3}) and [row["step"] for row in run.rows("metrics.jsonl")] == [1, 3]
    (run.path / "only.jsonl").write_bytes(b'{"torn')
    assert run.append("only.jsonl", {"step": 1}) and run.rows("only.jsonl") == [{"step": 1}]


def with_room_for(run, room: int) -> None:
    """In a forked child: a file may not grow beyond `room` bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    told = [run.append("metrics.jsonl", {"step": step, "loss": 0.123456789}) for step in range(20)]
    os._exit(0 if told == sorted(told, reverse=True) and run.lost_rows == told.count(False) > 0 else 1)


def test_a_full_disk_costs_rows_of_a_log_and_not_the_work(root):
    run = folder.create("full")
    process = multiprocessing.get_context("fork").Process(target=with_room_for, args=(run, 200))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert [row["step"] for row in run.rows("metrics.jsonl")] == list(range(200 // len('{"step": 0, "loss": 0.123456789}\n'))), "the rows that fitted stand whole, and no torn one behind them"


def test_finding(root):
    quiet = folder.create("quiet-otter")
    folder.create("quick-otter").update(created=1e12)
    assert folder.find("quiet-otter").path == quiet.path and folder.find("quie").name == "quiet-otter"
    assert folder.find("last").name == "quick-otter" and folder.find(str(quiet.path)).name == "quiet-otter"
    with pytest.raises(RecipeError, match="several"):
        folder.find("qui")
    with pytest.raises(RecipeError, match="quick-otter, quiet-otter"):
        folder.find("nobody")


def test_logs_survive_a_torn_line_and_a_resume(root):
    run = folder.create("log")
    for step in range(5):
        run.append("metrics.jsonl", {"step": step})
    with open(run.path / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 5')
    assert [row["step"] for row in run.rows("metrics.jsonl")] == [0, 1, 2, 3, 4]
    run.keep_rows("metrics.jsonl", lambda row: row["step"] < 3)
    run.append("metrics.jsonl", {"step": 3})
    assert [row["step"] for row in run.rows("metrics.jsonl")] == [0, 1, 2, 3]


def test_every_evaluation_counts(root):
    root.mkdir()
    assert [evaluations.record(root, test_split="a", run="x") for _ in range(3)] == [1, 2, 3]
    assert evaluations.record(root, test_split="b", run="x") == 1


def test_one_process_at_a_time(root):
    run = folder.create("busy")
    with run.lock(), pytest.raises(FolderInUse) as found, Run(run.path).lock():
        pass
    assert found.value.exit_code == 8 and "pid" in found.value.message
    with run.lock():
        pass


def test_what_a_kill_left_is_put_right(tmp_path):
    (tmp_path / f"{files.STAGING}model-12").mkdir()
    (tmp_path / f"{files.STAGING}old-model-12").mkdir()
    (tmp_path / f"{files.STAGING}old-model-12" / "weights").write_text("w")
    (tmp_path / f"{files.STAGING}run.json-12").write_text("{")
    removed = files.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"] and len(removed) == 2
    assert (tmp_path / "model" / "weights").read_text() == "w", "a folder that had stepped aside returns"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\0b", "C:\\x", "..\\x"])
def test_names_that_lead_outside(tmp_path, name):
    with pytest.raises(Refused):
        files.resolve(tmp_path, name)


def test_a_twin_of_the_root_and_a_link_are_outside(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root_evil").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "root_evil")
    for name in ("../root_evil/x", "link/x"):
        with pytest.raises(Refused):
            files.resolve(tmp_path / "root", name)
    assert files.resolve(tmp_path / "root", "a/b") == tmp_path / "root" / "a" / "b"


def test_a_staged_folder_is_whole_or_not_there(tmp_path):
    with pytest.raises(ZeroDivisionError), files.staged_folder(tmp_path / "model") as stage:
        (stage / "half").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with files.staged_folder(tmp_path / "model", step=3) as stage:
        (stage / "whole").write_text("x")
    assert files.verify(tmp_path / "model")["step"] == 3
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["files"]["whole"]["size"] == 1
