"""The verbs that only look: runs, doctor, config, explain."""

import json

import pytest
import yaml

from luthier.verbs import doctor as doctoring
from luthier.verbs.config import key_names


@pytest.fixture
def two_runs(tmp_path, monkeypatch, verdict):
    """A finished run and a failed one."""
    monkeypatch.setenv("LUTHIER_RUNS", str(tmp_path / "runs"))
    finished, failed = tmp_path / "runs" / "amber-lark", tmp_path / "runs" / "quiet-otter"
    for folder, rank, facts in (
        (finished, 8, {"status": "done", "phase": "done", "created": 100.0, "seconds": 61.0, "cost": {"seconds": 61.0, "tokens": 5000}, "data": {"fingerprint": "a"}}),
        (failed, 16, {"status": "failed", "phase": "training", "created": 200.0, "error": {"code": "T101", "message": "the loss is nan"}, "data": {"fingerprint": "b"}}),
    ):
        folder.mkdir(parents=True)
        common = {"name": folder.name, "task": "classification", "method": "lora", "model": {"name": "spruce"}}
        (folder / "run.json").write_text(json.dumps({**common, **facts}))
        (folder / "config.resolved.yaml").write_text(f"model: spruce\nmethod:\n  name: lora\n  rank: {rank}\n")
    (finished / "verdict.json").write_text(json.dumps(verdict))
    return tmp_path


def test_runs_ls(luthier, two_runs):
    ran = luthier("runs", "ls")
    rows = [line.split() for line in ran.out.splitlines()]
    assert [row[0] for row in rows[1:]] == ["quiet-otter", "amber-lark"], "the newest first"
    assert "macro_f1 0.872" in ran.out and "1 min 01 s" in ran.out and "failed" in ran.out
    found = luthier("runs", "ls", "--json").json["runs"]
    assert list(found[0]) == ["run", "folder", "status", "phase", "created", "seconds", "model", "task", "method", "metric", "value", "low", "high", "winner"]
    assert (found[1]["value"], found[1]["winner"], found[0]["value"]) == (0.872, "tuned", None)


def test_runs_ls_of_nothing(luthier, tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_RUNS", str(tmp_path / "none"))
    assert "no runs here yet" in luthier("runs", "ls").out
    assert luthier("runs", "ls", "--json").json == {"runs": []}


def test_runs_show(luthier, two_runs):
    assert "Tuning helped." in luthier("runs", "show", "amber").out
    assert "no verdict; it was last seen in phase training\nerror[T101]: the loss is nan\n" in luthier("runs", "show").out
    assert "method.rank: 16" in luthier("runs", "show", "last", "-v").out
    shown = luthier("runs", "show", "amber-lark", "--json").json
    assert list(shown) == ["run", "facts", "verdict", "recipe"] and shown["recipe"]["method.rank"] == 8
    ran = luthier("runs", "show", "nobody")
    assert ran.code == 2 and "amber-lark" in ran.err


def test_runs_diff_shows_only_what_differs(luthier, two_runs):
    ran = luthier("runs", "diff", "amber", "quiet")
    assert "method.rank" in ran.out and "method.name" not in ran.out and "spruce" not in ran.out
    assert "cannot be compared" in ran.out
    found = luthier("runs", "diff", "amber", "quiet", "--json").json
    assert found["recipe"] == [{"key": "method.rank", "a": 8, "b": 16}] and found["same_test_rows"] is False
    assert {"name": "macro_f1 of tuned", "a": 0.872, "b": None} in found["figures"]
    assert luthier("runs", "diff", "amber", "amber").out == "no differences\n"


# ---- doctor ----------------------------------------------------------------------------------------------------------
SECRET = "hf_abcdefghijklmnopqrstuvwxyz"


def test_doctor_says_where_the_token_is_and_never_what_it_is(luthier, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    for words in (["doctor"], ["doctor", "--json"], ["doctor", "-v", "--debug"]):
        ran = luthier(*words)
        assert SECRET not in ran.out + ran.err
    assert luthier("doctor", "--json").json["hub"]["token"] == "HF_TOKEN"
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    assert luthier("doctor", "--json").json["hub"]["token"] is None
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(SECRET)
    assert luthier("doctor", "--json").json["hub"]["token"] == "login"


def test_doctor_on_a_sound_machine(luthier, monkeypatch, tmp_path):
    for name in doctoring.SPRUCE_FILES:
        (tmp_path / name).write_bytes(b"12345")
    monkeypatch.setattr(doctoring, "SPRUCE", tmp_path)
    monkeypatch.setattr(doctoring, "NEEDED_MEMORY", 0)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = luthier("doctor", "--json")
    assert found.code == 0 and found.json["ok"] and found.json["spruce"] == {"present": True, "missing": [], "bytes": 20}
    assert found.json["hub"]["offline"] == ["HF_HUB_OFFLINE"]
    assert 0 < found.json["memory"]["available"] <= found.json["memory"]["total"] and found.json["cpu"]["cores"] >= 1
    assert found.json["packages"]["torch"].startswith("2.13")
    ran = luthier("doctor")
    assert "ready, on" in ran.out and "next: luthier demo" in ran.out


def test_doctor_tells_what_is_missing(luthier, monkeypatch, tmp_path):
    monkeypatch.setattr(doctoring, "SPRUCE", tmp_path)
    monkeypatch.setattr(doctoring, "PACKAGES", ["torch", "no-such-package"])
    monkeypatch.setattr(doctoring, "NEEDED_DISK", 1 << 62)
    ran = luthier("doctor")
    assert ran.code == 3
    assert "error[E110]: not installed: no-such-package" in ran.out and "error[F113]" in ran.out and "warning[F111]" in ran.out
    assert "not ready: not installed" in ran.out


def test_a_container_with_less_memory_than_its_host(monkeypatch):
    files = {"/proc/meminfo": "MemTotal: 8000 kB\nMemAvailable: 7000 kB\n", "/sys/fs/cgroup/memory.max": "4096000\n", "/sys/fs/cgroup/memory.current": "1096000\n"}
    monkeypatch.setattr(doctoring, "_read", lambda path: files.get(path, ""))
    assert doctoring._memory() == {"total": 4096000, "available": 3000000}
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert doctoring._memory() == {"total": 8192000, "available": 7168000}


def test_bf16_units_are_read_from_the_processor(monkeypatch):
    monkeypatch.setattr(doctoring, "_read", lambda path: "model name : A CPU\nflags : fpu amx_tile amx_bf16\n")
    assert {name: doctoring._cpu()[name] for name in ("name", "amx", "bf16")} == {"name": "A CPU", "amx": True, "bf16": True}
    monkeypatch.setattr(doctoring, "_read", lambda path: "model name : A CPU\nflags : fpu\n")
    assert not doctoring._cpu()["bf16"]


# ---- config ----------------------------------------------------------------------------------------------------------
def test_config_show_names_who_set_what(luthier, tmp_path, monkeypatch):
    (tmp_path / "luthier.yaml").write_text("model: spruce\nmethod: lora\ntraining:\n  epochs: 2\n")
    monkeypatch.setenv("LUTHIER_TRAINING_LEARNING_RATE", "1e-4")
    rows = luthier("config", "show", "method.rank=4", "--json").json["values"]
    found = {row["key"]: (row["value"], row["origin"]) for row in rows}
    assert found["training.epochs"] == (2, "luthier.yaml:4")
    assert found["training.learning_rate"] == (1e-4, "LUTHIER_TRAINING_LEARNING_RATE")
    assert found["method.rank"] == (4, "command line") and found["method.name"] == ("lora", "luthier.yaml:2")
    assert found["seed"] == (17, "default")
    changed = luthier("config", "show", "--changed").out
    assert "training.epochs" in changed and "seed" not in changed


def test_config_fill_reads_back(luthier, tmp_path):
    (tmp_path / "luthier.yaml").write_text("data: {train: a.csv}\n")
    filled = luthier("config", "fill", "seed=3").out
    assert yaml.safe_load(filled)["seed"] == 3
    (tmp_path / "filled.yaml").write_text(filled)
    assert luthier("config", "fill", "filled.yaml").out == filled


def test_config_schema_is_a_schema(luthier):
    schema = luthier("config", "schema").json
    assert schema["title"] == "Luthier recipe"
    assert list(schema["properties"]) == ["model", "task", "method", "objective", "data", "training", "evaluation", "retrieval", "tracking", "seed"]
    assert schema["properties"]["training"]["additionalProperties"] is False


# ---- explain ---------------------------------------------------------------------------------------------------------
def test_explain_a_code(luthier):
    ran = luthier("explain", "d110")
    assert ran.code == 0 and ran.out.startswith("D110  ")
    assert set(luthier("explain", "D110", "--json").json) == {"code", "title", "why", "do"}
    ran = luthier("explain", "D999")
    assert ran.code == 2 and "D110" in ran.err


@pytest.mark.parametrize("topic", ["training.learning_rate", "learning_rate"])
def test_explain_a_key(luthier, topic):
    ran = luthier("explain", topic)
    assert ran.out.startswith("training.learning_rate\n") and "LUTHIER_TRAINING_LEARNING_RATE" in ran.out and "a number or `auto`" in ran.out


def test_explain_a_choice_lists_its_settings(luthier):
    pages = luthier("explain", "method", "--json").json["keys"]
    assert pages[0]["default"] == "lora" and {"method.rank"} <= {page["key"] for page in pages}
    assert next(page for page in pages if page["key"] == "method.rank")["of"] == "lora"


def test_explain_offers_the_nearest(luthier):
    ran = luthier("explain", "lr")
    assert ran.code == 2 and "did you mean `training.learning_rate`?" in ran.err


def test_every_key_has_its_line(luthier):
    for name in key_names():
        for page in luthier("explain", name, "--json").json["keys"]:
            assert page["doc"], f"{page['key']} has no line of documentation under it"
