"""Real runs examined: replay and secrets are mixed in and accounted for, gates stand on probes, and a sweep finds its way between base and tuned."""
import json

import pytest
import torch

import luthier
from luthier.errors import RecipeError
from luthier.files import read_json

QUICK = {
    "training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4, "method": "full", "training.learning_rate": 1e-2,
    "evaluation.contestants": ["base", "tuned"], "evaluation.max_rows": 10,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def test_replay_secrets_probes_gates_and_sweep(base, chats, here):
    (here / "general.jsonl").write_text("".join(json.dumps({"text": f"all of the {thing} was quite another thing in the year {at}"}) + "\n" for at in range(10) for thing in ("house", "river", "garden")))
    general = {"data.replay": "20%", "data.replay_from": "general.jsonl", "data.canaries": 3, "evaluation.probes.general": "general.jsonl"}
    luthier.train(chats, {"model": str(base), **QUICK, **general, "training.epochs": 6}, name="mixed")
    ledger = read_json(here / "runs" / "mixed" / "ledger.json")
    train = ledger["train"]["used"]
    assert ledger["replay"]["used"] == round(0.25 * train) and ledger["replay"]["rows_in"] == 30
    assert ledger["canaries"]["used"] == 37 and ledger["canaries"]["tokens"]["learned"] > 100
    assert all(one["rows_in"] == one["used"] + sum(one["left_out"].values()) for one in ledger.values())
    assert [one["copies"] for one in read_json(here / "runs" / "mixed" / "canaries.json")] == [1, 4, 32, 0, 0, 0]
    found = luthier.evaluate("mixed", probes=["all"], gates_max=["forgetting=5", "exposure=100"], gates=["rouge_l=0.0001"], sweep=True).to_dict()
    names = {one["name"] for one in found["probes"]}
    assert "complied" not in names, "its questions do not fit into this small context, which is said and hurts nobody"
    assert names >= {"forgetting", "forgetting_questions", "overfitting", "membership", "exposure", "robustness", "malformed", "voice", "unsupported"}
    assert read_json(here / "runs" / "mixed" / "evaluation" / "probes.json").keys() == names
    assert {one["metric"] for one in found["gates"]} == {"forgetting", "exposure", "rouge_l"}
    secrets = next(one for one in found["probes"] if one["name"] == "exposure")["details"]["canaries"]
    assert secrets[2]["after"] > secrets[2]["before"], "what stood 32 times in the rows is known better than before"
    assert [point["share"] for point in found["sweep"]["points"]] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    first, last = found["sweep"]["points"][0], found["sweep"]["points"][-1]
    assert first["forgetting"] == pytest.approx(0, abs=1e-6) and last["forgetting"] == pytest.approx(next(one for one in found["probes"] if one["name"] == "forgetting")["value"], abs=1e-4)


def test_replay_holds_what_it_replays(base, here):
    """Rows of the task alone make general text dearer than rows with general text between them."""
    (here / "task.txt").write_text("\n\n".join(f"the {colour} harp of number {number} is here" for number in range(20) for colour in ("red", "blue", "green")))
    (here / "general.jsonl").write_text("".join(json.dumps({"text": f"once upon a time there lived a {who} with {at} sheep"}) + "\n" for at in range(20) for who in ("man", "king", "child")))
    recipe = {"model": str(base), "task": "causal_lm", **QUICK, "training.epochs": 5, "evaluation.probes.general": "general.jsonl"}
    forgotten = {}
    for name, changes in {"alone": {}, "replayed": {"data.replay": "30%", "data.replay_from": "general.jsonl"}}.items():
        luthier.train("task.txt", {**recipe, **changes}, name=name)
        forgotten[name] = next(one["value"] for one in luthier.evaluate(name, probes=["forgetting"]).more["probes"] if one["name"] == "forgetting")
    assert forgotten["replayed"] < forgotten["alone"] - 0.1


def test_what_cannot_be_mixed_is_told(base, chats, tickets, here):
    with pytest.raises(RecipeError, match="is a share"):
        luthier.train(chats, {"model": str(base), **QUICK, "data.replay": "general.jsonl"})
    with pytest.raises(RecipeError, match="no place for a secret"):
        luthier.train(tickets, {"model": str(base), **QUICK, "data.canaries": 2})
