"""`eval` of a run over several seeds asks every model again: the same mean and spread as after training, and how far the models are apart."""
import shutil

import pytest
import torch

import luthier
from luthier.files import read_json

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4, "method": "full", "training.learning_rate": 1e-2, "training.max_steps": 12, "evaluation.contestants": ["majority", "tuned"]}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def tuned(run):
    return read_json(run / "evaluation" / "results.json")["contestants"]["tuned"]


def test_every_seed_is_measured_again(base, tickets, here):
    luthier.train(tickets, {"model": str(base), **QUICK, "evaluation.seeds": 3}, name="three")
    run, said = here / "runs" / "three", []
    before, line = tuned(run), next(one for one in read_json(run / "verdict.json")["contestants"] if one["name"] == "tuned")
    steps = [(path.parent.name, len(path.read_text().splitlines())) for path in sorted(run.glob("seeds/*/metrics.jsonl"))]
    found = luthier.evaluate("three", probes=["agreement"], say=said.append)
    after = tuned(run)
    assert len(after["seeds"]) == 3 and after["seeds"] == before["seeds"], "no model of them is another than it was"
    assert after["metrics"]["macro_f1"]["value"] == pytest.approx(before["metrics"]["macro_f1"]["value"])
    again = next(one for one in found.verdict["contestants"] if one["name"] == "tuned")
    assert (again["low"], again["high"]) == pytest.approx((line["low"], line["high"])), "the spread between seeds is in the interval again"
    assert steps == [(path.parent.name, len(path.read_text().splitlines())) for path in sorted(run.glob("seeds/*/metrics.jsonl"))], "nothing was learned anew"
    assert "disagreement_seeds" in {one["name"] for one in found.more["probes"]}
    shutil.rmtree(run / "seeds" / "18")
    luthier.evaluate("three", say=said.append)
    assert len(tuned(run)["seeds"]) == 2 and any(event.data.get("code") == "T241" for event in said if event.kind == "warning")
