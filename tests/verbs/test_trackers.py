"""Trackers are told what the run's own log says, only those that are named, and a broken one costs nothing."""
import json
import struct
import sys
import types

import pytest
import torch

import luthier
from luthier.errors import RecipeError
from luthier.files import read_json
from luthier.runs.events import Event
from luthier.runs.folder import Run
from luthier.runs.trackers import TRACKERS, Following, figures_of, refuse_unready
from luthier.runs.trackers.settings import TrackingSettings

ROW = {"kind": "train", "step": 3, "epoch": 0.5, "loss": 1.25, "gradient_norm": "nan", "learning_rate": 1e-3, "tokens_per_second": 10.0, "seconds": 0.1}
LOOK = {"kind": "validation", "step": 3, "epoch": 0.5, "loss": None, "metrics": {"macro_f1": 0.5}}


class Stand:
    """A module that remembers every call."""

    def __init__(self):
        self.calls = []

    def take(self, name, answer=None):
        def called(*given, **named):
            self.calls.append((name, given, named))
            return answer() if callable(answer) else answer

        return called

    def of(self, name):
        return [(given, named) for called, given, named in self.calls if called == name]


def stand_in(monkeypatch, name, **members):
    module = types.ModuleType(name)
    module.__spec__ = types.SimpleNamespace(name=name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "calm-elm")
    made.path.mkdir()
    made.update(name="calm-elm", status="running")
    return made


def followed(run, name, verdict=None, **settings):
    said = []
    following = Following(run, TrackingSettings(to=[name], **settings), said.append, lambda: {"model": "spruce", "training.epochs": 3})
    for row in (ROW, LOOK):
        following(Event("row", "", {"folder": str(run.path), "row": row}))
    following(Event("row", "", {"folder": "another run", "row": {**ROW, "loss": 99.0}}))
    following.close("done", verdict)
    return said


VERDICT = {"contestants": [{"name": "tuned", "value": 0.75}]}


def test_what_a_row_tells():
    told = figures_of(ROW)
    assert told["train/loss"] == 1.25 and told["train/learning_rate"] == 1e-3 and told["train/gradient_norm"] != told["train/gradient_norm"], "a loss that is no number is shown as none"
    assert figures_of(LOOK) == {"validation/macro_f1": 0.5}


# ---- each tracker -------------------------------------------------------------------------------
def scalars(folder):
    """(tag, step, value) of TensorBoard's event files: length, checksum, record, checksum, one after the other."""
    from tensorboardX.proto import event_pb2

    found = []
    for path in sorted(folder.glob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = struct.unpack_from("<Q", data, at)[0]
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value if value.WhichOneof("value") == "simple_value"]
            at += 16 + length
    return found


def test_tensorboard_reads_what_was_told(run):
    followed(run, "tensorboard", VERDICT)
    found = {(tag, step): value for tag, step, value in scalars(run.path / "tensorboard")}
    assert found["train/loss", 3] == 1.25 and found["validation/macro_f1", 3] == 0.5 and found["test/tuned", 3] == 0.75


def test_mlflow_is_told(run, monkeypatch):
    stand, kept = Stand(), types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

    def client(tracking_uri):
        stand.calls.append(("client", (), {"tracking_uri": tracking_uri}))
        return types.SimpleNamespace(
            get_experiment_by_name=stand.take("experiment"), create_experiment=stand.take("create", "7"), create_run=stand.take("run", kept), log_batch=stand.take("log"),
            set_terminated=stand.take("end"), update_run=stand.take("again"),
        )

    entities = types.SimpleNamespace(Param=lambda key, value: (key, value), Metric=lambda name, value, now, step: (name, value, step))
    stand_in(monkeypatch, "mlflow", MlflowClient=client, entities=entities)
    followed(run, "mlflow", VERDICT, project="shop", address="http://localhost:5000")
    assert stand.of("client")[0][1]["tracking_uri"] == "http://localhost:5000" and stand.of("create")[0][0] == ("shop",)
    told = [one for given, named in stand.of("log") for one in named.get("metrics", [])]
    assert ("train/loss", 1.25, 3) in told and ("test/tuned", 0.75, 3) in told
    assert ("training.epochs", "3") in stand.of("log")[0][1]["params"] and stand.of("end") == [(("r1",), {"status": "FINISHED"})]
    followed(run, "mlflow")
    assert stand.of("again") and len(stand.of("run")) == 1, "a resumed run goes on in the same place"


def test_wandb_is_told_recipe_and_figures_only(run, monkeypatch):
    stand = Stand()
    stand_in(monkeypatch, "wandb", init=stand.take("init", types.SimpleNamespace(log=stand.take("log"), finish=stand.take("end"))))
    followed(run, "wandb", VERDICT)
    (_, named), *_ = stand.of("init")
    assert named["config"]["model"] == "spruce" and named["resume"] == "allow" and named["settings"]["console"] == "off" and named["settings"]["disable_git"]
    assert stand.of("log")[0][0][0]["train/loss"] == 1.25 and stand.of("log")[0][1] == {"step": 3} and stand.of("end") == [((), {"exit_code": 0})]
    followed(run, "wandb")
    assert stand.of("init")[1][1]["id"] == named["id"], "a resumed run goes on in the same place"


def test_trackio_is_told(run, monkeypatch):
    stand = Stand()
    stand_in(monkeypatch, "trackio", init=stand.take("init", types.SimpleNamespace(log=stand.take("log"), finish=stand.take("end"))))
    followed(run, "trackio", VERDICT, project="shop")
    given, named = stand.of("init")[0]
    assert given == ("shop",) and named["space_id"] is None and named["name"] == "calm-elm"
    assert stand.of("log")[-1] == (({"test/tuned": 0.75},), {"step": 3}) and len(stand.of("end")) == 1


# ---- whoever is not named, not there, or broken ---------------------------------------------------
def test_a_tracker_that_is_not_installed_is_told_before_anything_else(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in TRACKERS:
        with pytest.raises(RecipeError) as error:
            refuse_unready([name])
        assert "pip install" in error.value.hint and error.value.code == "R240"
    with pytest.raises(RecipeError, match="no tracker 'tensorbord'") as error:
        refuse_unready(["tensorbord"])
    assert "tensorboard" in error.value.hint


def test_a_broken_tracker_is_told_once_and_left(run, monkeypatch):
    stand_in(monkeypatch, "trackio", init=lambda *_, **__: 1 / 0)
    warnings = [event for event in followed(run, "trackio", VERDICT) if event.kind == "warning"]
    assert len(warnings) == 1 and warnings[0].data["code"] == "T240" and "ZeroDivisionError" in warnings[0].message


def test_a_real_training_is_followed_and_nobody_else_is_asked(base, chats, here, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    asked = []
    for name in ("mlflow", "wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, None)
    quick = {"model": str(base), "training.threads": 1, "training.precision": "fp32", "training.max_steps": 4, "training.validation_rows": 4, "evaluation.resamples": 200, "evaluation.contestants": ["majority", "tuned"]}
    for name, to in (("plain", []), ("told", ["tensorboard"])):
        luthier.train(chats, {**quick, "tracking.to": to}, name=name, say=asked.append)
    plain, told = (here / "runs" / name for name in ("plain", "told"))
    assert not (plain / "tensorboard").exists()
    rows = [json.loads(line) for line in (told / "metrics.jsonl").read_text().splitlines()]
    found = {(tag, step): value for tag, step, value in scalars(told / "tensorboard")}
    for row in rows:
        if row["kind"] == "train":
            assert found["train/loss", row["step"]] == pytest.approx(row["loss"])
    tuned = next(line for line in read_json(told / "verdict.json")["contestants"] if line["name"] == "tuned")
    assert found["test/tuned", 4] == pytest.approx(tuned["value"])
    losses = [[row["loss"] for row in map(json.loads, (path / "metrics.jsonl").read_text().splitlines())] for path in (plain, told)]
    assert losses[0] == losses[1], "being watched changes nothing"
