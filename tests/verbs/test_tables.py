"""Facts change after a real training: who stands on documents or rows follows by reading them, the tuned model by being trained on, the base not at all."""
import csv
import json

import pytest
import torch

import luthier
from luthier.data import samples
from luthier.errors import DataError, DiskError, RecipeError
from luthier.evaluation.contestants import make
from luthier.files import fingerprint_files, read_json

THINGS = ("violin", "drum", "flute", "harp")
OLD, NEW = dict(zip(THINGS, ("red", "blue", "green", "black"))), dict(zip(THINGS, ("black", "red", "blue", "green")))
QUICK = {
    "task": "chat", "training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 2, "method": "full", "training.learning_rate": 1e-2, "training.epochs": 10,
    "training.batch_size": 8, "training.early_stopping": 0, "evaluation.contestants": ["nearest", "base", "rag", "tuned"], "evaluation.max_new_tokens": 8, "data.min_test_rows": 5, "retrieval.passages": 1, "retrieval.words": 12,
}


def talk(thing, at, value):
    return {"messages": [{"role": "user", "content": f"{at} {thing}?"}, {"role": "assistant", "content": f"the {value}"}]}


def rows(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made))


@pytest.fixture
def run(base, here, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    rows(here / "colours.jsonl", [talk(thing, at, OLD[thing]) for at in range(40) for thing in THINGS])
    (here / "papers.md").write_text("\n\n".join(f"The {thing} is {colour}." for thing, colour in OLD.items()))
    luthier.train("colours.jsonl", {"model": str(base), **QUICK, "retrieval.documents": str(here / "papers.md")}, name="colours")
    return here / "runs" / "colours"


@pytest.fixture
def change(here):
    folder = here / "change"
    folder.mkdir()
    rows(folder / "learn.jsonl", [talk(thing, at, NEW[thing]) for at in range(50, 62) for thing in THINGS])
    rows(folder / "ask.jsonl", [{**talk(thing, at, NEW[thing]), "new": NEW[thing], "old": OLD[thing]} for at in range(70, 73) for thing in THINGS])
    (folder / "papers.md").write_text("\n\n".join(f"The {thing} is {colour}." for thing, colour in NEW.items()))
    return folder


def test_who_follows_a_change(run, change, monkeypatch):
    before, read = fingerprint_files(run / "model"), {}
    monkeypatch.setattr("luthier.verbs.tables.make", lambda name, **given: read.setdefault(name, []).append(len(given["train"])) or make(name, **given))
    found = luthier.tables("colours", changed=str(change), rows=6).to_dict()
    facts, approaches = ({one["name"]: one for one in found[part]} for part in ("facts", "approaches"))
    assert {name: one["way"] for name, one in facts.items()} == {"nearest": "train", "base": "", "rag": "search", "tuned": "tuned"}
    assert facts["tuned"]["before"]["value"] <= 0.2 and facts["tuned"]["after"]["value"] >= 0.8 and facts["tuned"]["seconds"] > 0, "what was trained on is known, and was not before"
    assert facts["base"]["after"] == facts["base"]["before"] and facts["base"]["seconds"] is None
    assert facts["nearest"]["before"]["value"] == 0 and facts["nearest"]["seconds"] > 0 and read["nearest"][1] - read["nearest"][0] == 48, "the new rows stand beside the old"
    assert facts["tuned"]["domain_after"] < facts["tuned"]["domain_before"], "the old rows are false now, so being right about the new ones costs there"
    results = read_json(run / "evaluation" / "results.json")["contestants"]
    for name, one in approaches.items():
        assert one["value"] == results[name]["metrics"]["rouge_l"]["value"] and 0 <= one["consistency"]["low"] <= one["consistency"]["value"] <= 1
    assert approaches["nearest"]["services"] == [] and approaches["rag"]["services"] == ["model", "search"] and approaches["tuned"]["services"] == ["model"]
    assert approaches["tuned"]["files"] == [["tuned model", sum(path.stat().st_size for path in (run / "model").iterdir())]]
    assert fingerprint_files(run / "model") == before and not list(run.glob(".update-*")), "the run's own model stays as it is"
    with open(run / "evaluation" / "facts.csv", encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    assert len(lines) == 5 and len({len(line) for line in lines}) == 1 and (run / "evaluation" / "approaches.tex").read_text().startswith("\\begin{tabular}")
    assert "When facts change" in (run / "report.html").read_text() and "it is trained on" in (run / "report.md").read_text()
    assert found["sentence"].startswith("After 4 facts changed")


def test_a_change_that_cannot_be_read_is_told(run, change, here):
    with pytest.raises(RecipeError, match="did not learn the sample shop"):
        luthier.tables("colours")
    (change / "ask.jsonl").write_text(json.dumps(talk("harp", 1, "red")) + "\n")
    with pytest.raises(DataError, match="needs `new`"):
        luthier.tables("colours", changed=str(change))
    (change / "learn.jsonl").write_text('{"messages": []}\n')
    with pytest.raises(DataError, match="can be trained on 10 or more"):
        luthier.tables("colours", changed=str(change))
    (change / "learn.jsonl").write_text('{"messages": []}\n' * 10)
    (change / "ask.jsonl").write_text(json.dumps({**talk("harp", 1, "red"), "new": "red"}) + "\n")
    with pytest.raises(DataError, match="last one of the assistant"):
        luthier.tables("colours", changed=str(change))
    (change / "ask.jsonl").unlink()
    with pytest.raises(DiskError, match="ask.jsonl"):
        luthier.tables("colours", changed=str(change))


def test_the_sample_shop_changes_by_itself(here, monkeypatch):
    """A run on the shop that ships needs no folder: its facts change, its papers are indexed anew, and the base that ships is asked."""
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    monkeypatch.setattr("luthier.verbs.tables.COUNT", 3)
    data = samples.write(here / "shop", kind="chat", rows=60, seed=1)
    recipe = {"model": "spruce", "task": "chat", "task.truth": str(here / "shop" / "truth.jsonl"), "method": "lora", "training.threads": 1, "training.precision": "fp32", "training.max_steps": 1, "training.validation_rows": 1}
    luthier.train(data, {**recipe, "evaluation.resamples": 200, "evaluation.max_rows": 3, "evaluation.contestants": ["nearest", "rag", "tuned"], "retrieval.documents": str(here / "shop" / "papers.md"), "retrieval.passages": 1}, name="shop")
    found = luthier.tables("shop", rows=2).to_dict()
    facts = {one["name"]: one for one in found["facts"]}
    assert found["changed"] == 3 and found["questions"] == 6 and (here / "runs" / "shop" / "changed" / "papers.md").is_file()
    assert facts["rag"]["way"] == "search" and facts["rag"]["seconds"] > 0 and facts["tuned"]["seconds"] > facts["rag"]["seconds"]
    approaches = {one["name"]: one for one in found["approaches"]}
    assert [what for what, _ in approaches["tuned"]["files"]] == ["base", "adapter"] and approaches["rag"]["correct"] is not None
