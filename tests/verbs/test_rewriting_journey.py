"""A text becomes another: with an encoder-decoder and with a decoder, from a file to a prediction."""
import json

import pytest
import torch

import luthier
from luthier.files import read_json

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 8, "task.measure": "rouge_1"}
COLOURS, THINGS = ["red", "blue", "green", "black"], ["violin", "drum", "flute", "harp", "piano"]


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.jsonl"
    rows = [{"document": f"the {colour} {thing} {number}", "summary": "warm" if colour in ("red", "black") else "cool"} for number in range(6) for colour in COLOURS for thing in THINGS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def no_fresh_process(monkeypatch):
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


@pytest.mark.parametrize("name, method", [("t5", "lora"), pytest.param("bart", "full", marks=pytest.mark.nightly)])
def test_what_is_saved_is_what_was_learned(tiny_model, notes, here, name, method):
    torch.set_num_threads(1)
    words = {"model": str(tiny_model(name)), "task.name": "seq2seq", "method": method, "training.max_steps": 20, "training.learning_rate": 1e-2, **QUICK, "evaluation.contestants": ["lead", "tuned"]}
    luthier.train(notes, words, name="saved")
    run = here / "runs" / "saved"
    losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines() if '"validation"' in line]
    assert losses[-1] < 0.8 * losses[0]
    assert read_json(run / "run.json")["reload"]["ok"], "stock libraries compute the same"
    assert "Seq2SeqLM" in (run / "model" / "README.md").read_text()


def test_an_encoder_decoder_learns_and_writes(tiny_model, notes, here, no_fresh_process):
    torch.set_num_threads(1)
    words = {"model": str(tiny_model("t5")), "task": {"name": "seq2seq"}, "method": "full", "training.epochs": 8, "training.learning_rate": 1e-2, **QUICK}
    result = luthier.train(notes, words, name="short")
    values = {row["name"]: row["value"] for row in result.verdict["contestants"]}
    assert set(values) == {"majority", "nearest", "lead", "base", "tuned"} and result.verdict["metric"] == "rouge_1"
    assert values["tuned"] > values["base"] + 0.3
    run = here / "runs" / "short"
    figures = read_json(run / "evaluation" / "results.json")["contestants"]["tuned"]["metrics"]
    assert figures["bleu"]["signature"].startswith("BLEU|nrefs:1") and figures["chrf"]["signature"].startswith("chrF2|") and "perplexity" in figures
    ledger = read_json(run / "ledger.json")["train"]["tokens"]
    assert ledger["in"] == ledger["learned"] + ledger["context"] + ledger["cut"] and ledger["context"] > ledger["learned"] > 0
    said = luthier.predict("short", "the red drum 3").to_dict()["answers"][0]["answer"]
    assert said == "warm", "it writes the word and stops behind it"
    planned = luthier.plan(notes, words).to_dict()
    assert planned["memory"]["needed"] > 0


def test_a_decoder_is_asked_as_in_a_chat(base, notes, here, no_fresh_process):
    torch.set_num_threads(1)
    words = {"model": str(base), "method": "full", "training.epochs": 6, "training.learning_rate": 1e-2, "task.name": "seq2seq", "task.instruction": "Which one?", **QUICK}
    result = luthier.train(notes, words, name="asked")
    values = {row["name"]: row["value"] for row in result.verdict["contestants"]}
    assert "few_shot" in values and values["tuned"] > values["base"] + 0.3
    shown = luthier.check(notes, words, show=1).to_dict()["shown"][0]["spans"]
    assert any("Which one?" in text for text, kind in shown if kind == "context"), "the instruction stands before the source"


def test_an_encoder_cannot_write(tiny_bert, notes, here):
    from luthier.errors import RecipeError

    with pytest.raises(RecipeError, match="encoder-decoder"):
        luthier.train(notes, {"model": str(tiny_bert), **QUICK})
