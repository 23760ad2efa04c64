"""Several data sets as one: own accounts and figures, shares as the recipe says, no row learned that another source is judged by, and kinds of task that are never learned."""
import json

import numpy as np
import pytest
import torch

import luthier
from luthier.data.dataset import DataSet
from luthier.data.settings import DataSettings
from luthier.errors import RecipeError
from luthier.evaluation.results import Result
from luthier.files import read_json
from luthier.metrics.metric import mean
from luthier.preparation.order import Order
from luthier.tasks.answers import Answer
from luthier.training import checkpoint
from luthier.verbs.kinds import compared
from luthier.verbs.sources import by_source, drawn_from, shares

COLOURS, THINGS = ["red", "blue", "green", "black"], ["violin", "drum", "flute", "harp"]
QUICK = {
    "task": "chat", "method": "full", "training.threads": 1, "training.precision": "fp32", "training.max_steps": 6, "training.learning_rate": 3e-3, "training.validation_rows": 4,
    "training.evaluate_every": 3, "evaluation.contestants": ["majority", "base", "tuned"], "evaluation.resamples": 200, "evaluation.max_new_tokens": 6,
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def chat(question: str, answer: str) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture
def files(here):
    """Two sources of unlike size and columns, one row of the larger standing in the smaller too, and a kind that is held out."""
    where = [chat(f"where is the {colour} {thing} {number}?", f"the {thing} is here") for number in range(6) for colour in COLOURS for thing in THINGS]
    (here / "where.jsonl").write_text("".join(json.dumps(row) + "\n" for row in where))
    colours = [(f"which colour, {thing} {number}?", COLOURS[number % 4]) for number in range(8) for thing in THINGS]
    (here / "colour.csv").write_text("prompt,completion\n" + "\n".join(f'"{question}",{answer}' for question, answer in colours) + "\n")
    kinds = [chat(f"say {thing} {number}", thing) for number in range(6) for thing in THINGS]
    (here / "say.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kinds))
    return {"data.sources": {"where": "where.jsonl", "colour": "colour.csv"}, "data.weights": {"colour": 3}, "data.held_out": {"say": "say.jsonl"}, "data.validation": 0.2, "data.test": 0.2}


def recipe_file(here):
    (here / "luthier.yaml").write_text("model: spruce\n")
    return here / "luthier.yaml"


def rows_of_unlike_length(here, *, long: int):
    """Short questions with short answers and as many with answers `long` times as long, in one file."""
    rows = [chat(f"which colour, {number}?", COLOURS[number % 4]) for number in range(40)] + [chat(f"which colours, {number}?", " ".join(COLOURS * long)) for number in range(40)]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"data.train": "rows.jsonl", "data.validation": 0.1, "data.test": 0.1}


def numbers_of_words(here):
    """The number asked for is how long the text is."""
    rows = [{"text": "word " * (1 + number % 20), "score": float(number % 20)} for number in range(100)]
    (here / "numbers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"task": "regression", "data.train": "numbers.jsonl", "data.validation": 0.1, "data.test": 0.1, "evaluation.contestants": ["median", "tuned"]}


def pairs_of_unlike_length(here):
    """The same as chosen and rejected answers: every pair counts alike, however long."""
    rows = [{"prompt": f"which colours, {number}?", "chosen": " ".join(COLOURS * (1 + 5 * (number % 2))), "rejected": "none " * (1 + 5 * (number % 2))} for number in range(60)]
    (here / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"objective": "dpo", "data.train": "pairs.jsonl", "data.validation": 0.1, "data.test": 0.1, "evaluation.contestants": ["base", "tuned"]}


@pytest.mark.parametrize("given, grouped, because", [
    (lambda here, files: files, False, "several sources"),
    (lambda here, files: rows_of_unlike_length(here, long=6), False, "drawn by lot"),
    (lambda here, files: rows_of_unlike_length(here, long=1) | {"data.train": "where.jsonl"}, True, "every step teaches about as much"),
    (lambda here, files: rows_of_unlike_length(here, long=1) | {"data.train": "where.jsonl", "data.replay": "20%"}, False, "several sources"),
    (lambda here, files: numbers_of_words(here), False, "length gives away"),
    (lambda here, files: pairs_of_unlike_length(here), True, "every step teaches about as much"),
    (lambda here, files: files | {"training.group_by_length": True}, True, None),
], ids=["mixture", "uneven", "even", "replay", "numbers", "pairs", "asked"])  # fmt: skip
def test_what_a_step_learns_from_is_drawn_by_lot_where_length_tells_of_content(base, here, files, monkeypatch, given, grouped, because):
    made = []

    def order(*words, **more):
        made.append(Order(*words, **more))
        return made[-1]

    monkeypatch.setattr("luthier.objectives.materials.Order", order)
    rows_of_unlike_length(here, long=1)
    notes = []
    luthier.train(recipe_file(here), {"model": str(base), **QUICK, "training.max_steps": 1, **given(here, files)}, name="drawn", say=lambda event: notes.append(event.message))
    assert f"group_by_length: {str(grouped).lower()}" in (here / "runs" / "drawn" / "config.resolved.yaml").read_text()
    told = read_json(here / "runs" / "drawn" / "run.json")["resolved"].get("training.group_by_length", {}).get("reason")
    assert told is None if because is None else because in told
    learned = [one for one in made if one.batch_size < len(one.lengths)]
    assert learned and all(one.group_by_length is grouped for one in learned)
    identity = checkpoint.newest(here / "runs" / "drawn")[1].identity
    assert identity.get("training.group_by_length") is (None if grouped else False), "runs from before the setting were grouped, and go on"


@pytest.mark.parametrize("given", [lambda here, files: files, lambda here, files: rows_of_unlike_length(here, long=1) | {"data.train": "where.jsonl", "data.replay": "20%"}], ids=["mixture", "replay"])
def test_a_plan_draws_by_lot_where_the_training_will(base, here, files, monkeypatch, given):
    made = []
    monkeypatch.setattr("luthier.verbs.training.Order", lambda *words, **more: made.append(Order(*words, **more)) or made[-1])
    rows_of_unlike_length(here, long=1)
    told = luthier.plan(recipe_file(here), {"model": str(base), **QUICK, **given(here, files)}).values["resolved"]["training.group_by_length"]
    assert told["value"] is False and "several sources" in told["reason"] and made and not any(one.group_by_length for one in made)


def test_a_mixture_is_learned_accounted_for_and_judged_source_by_source(base, here, files):
    notes = []
    result = luthier.train(recipe_file(here), {"model": str(base), **QUICK, **files}, name="mixed", say=lambda event: notes.append(event.message))
    run = here / "runs" / "mixed"
    facts, ledger, data = read_json(run / "run.json"), read_json(run / "ledger.json"), DataSet(run / "data")
    for split in ("train", "validation", "test"):
        parts = [ledger[f"{split} of {name}"] for name in ("where", "colour")]
        assert sum(part["rows_in"] for part in parts) == ledger[split]["rows_in"] and sum(part["used"] for part in parts) == ledger[split]["used"]
        assert all(part["rows_in"] == part["used"] + sum(part["left_out"].values()) for part in parts)
        assert sum(part["tokens"]["learned"] for part in parts) == ledger[split]["tokens"]["learned"]
        records = data.records(split)
        for name, file in (("where", "where.jsonl"), ("colour", "colour.csv")):
            stands = data.mixture[name][split]
            assert {record.origin.file for record in records[stands["first"] : stands["first"] + stands["count"]]} == {file}
    looks = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines() if '"validation"' in line]
    tokens = {name: ledger[f"validation of {name}"]["tokens"]["learned"] for name in ("where", "colour")}
    for look in looks:
        together = sum(look["metrics"][f"loss of {name}"] * count for name, count in tokens.items()) / sum(tokens.values())
        assert together == pytest.approx(look["loss"], rel=1e-5), "the losses of the sources make the whole"
    assert set(facts["by_source"]) == {"where", "colour"} and set(facts["by_source"]["where"]) == {"majority", "base", "tuned"}
    assert sum(facts["by_source"][name]["tuned"]["n"] for name in ("where", "colour")) == result.verdict["n"]
    kind = facts["held_out"]["say"]
    assert kind["rows"] == 21 and set(kind["shots"]) == {"0", "3"} and all(set(one) == {"base", "tuned", "change"} for one in kind["shots"].values())
    assert any("source colour" in note and "times an epoch" in note for note in notes) and any("held out, say" in note for note in notes)
    page = (run / "report.html").read_text()
    assert "Sources and kinds of task" in page and "Kinds of task that were never learned" in page and "by source" in page


def test_what_weights_and_temperature_mean():
    sizes = {"large": 900, "small": 100}
    assert shares(DataSettings(), sizes) == sizes
    assert shares(DataSettings(weights={"small": 3.0}), sizes) == {"large": 750, "small": 250}, "a row of weight 3 is learned three times as often as one of weight 1"
    assert shares(DataSettings(temperature=2.0), sizes) == {"large": 750, "small": 250}, "30 to 10"
    assert shares(DataSettings(temperature=1000.0), sizes)["small"] == pytest.approx(500, abs=1)
    drawn = drawn_from(np.arange(10, 14), 10, (1, 2))
    counts = np.unique(drawn, return_counts=True)
    assert counts[0].tolist() == [10, 11, 12, 13] and sorted(counts[1].tolist()) == [2, 2, 3, 3]
    assert drawn_from(np.arange(50), 20, (1, 2)).tolist() == drawn_from(np.arange(50), 20, (1, 2)).tolist() != drawn_from(np.arange(50), 20, (1, 3)).tolist()


def test_weights_decide_what_is_read(base, here, files):
    """The steps of a pass hold a source as often as its weight says; without weights, as often as it has rows."""
    read = {}
    for name, weights in (("weighed", {"colour": 3}), ("plain", {})):
        notes = []
        words = {"model": str(base), **QUICK, **files, "data.weights": weights, "data.held_out": {}, "data.test": 0, "training.max_steps": 1}
        luthier.train(recipe_file(here), words, name=name, say=lambda event, notes=notes: notes.append(event.data))
        read[name] = {data["source"]: data for data in notes if "source" in data}
    plain, weighed = read["plain"], read["weighed"]
    assert all(one["learned"] == one["examples"] and one["not_drawn"] == 0 for one in plain.values())
    often = {name: weighed[name]["learned"] / weighed[name]["examples"] for name in weighed}
    assert often["colour"] / often["where"] == pytest.approx(3, rel=0.1) and weighed["where"]["not_drawn"] > 0
    identities = [read_json(next((here / "runs" / name).glob("checkpoint-*/state.json")))["identity"] for name in read]
    assert identities[0]["sources"] != identities[1]["sources"] and identities[0]["data"] != identities[1]["data"], "a resumed run must have the same mixture"


def test_a_row_that_another_source_is_judged_by_is_not_learned(here, base):
    """Two sources with the same questions: what stands in a later split of either leaves the earlier splits of both."""
    rows = [chat(f"where is the {colour} {thing} {number}?", f"the {thing} is here") for number in range(5) for colour in COLOURS for thing in THINGS]
    for name in ("one", "two"):
        shown = rows if name == "one" else rows[::2]
        (here / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shown))
    words = {"model": str(base), "task": "chat", "data.sources": {"one": "one.jsonl", "two": "two.jsonl"}, "data.validation": 0.2, "data.test": 0.2}
    found = luthier.check(recipe_file(here), words).to_dict()
    left = sum(count for split in ("train", "validation") for count in found["ledger"][split]["left_out"].values())
    assert left > 0 and any(finding["code"] == "D401" and "another source" in finding["message"] for finding in found["findings"])
    assert sum(found["ledger"][split]["rows_in"] for split in ("train", "validation", "test")) == 120
    assert all(found["ledger"][f"{split} of one"]["used"] + found["ledger"][f"{split} of two"]["used"] == found["ledger"][split]["used"] for split in ("train", "validation", "test"))
    luthier.train(here / "luthier.yaml", {**words, **QUICK, "training.max_steps": 1}, name="both")
    data = DataSet(here / "runs" / "both" / "data")
    asked = {split: {record.messages[0].content for record in data.records(split)} for split in ("train", "validation", "test")}
    assert not asked["train"] & (asked["validation"] | asked["test"]) and not asked["validation"] & asked["test"]


def test_held_out_rows_that_are_learned_are_not_asked(base, here, files):
    warnings = []
    say = lambda event: warnings.append(event.message) if event.kind == "warning" else None
    luthier.train(recipe_file(here), {"model": str(base), **QUICK, **files, "data.held_out": {"twice": "where.jsonl"}, "training.max_steps": 1}, name="twice", say=say)
    facts = read_json(here / "runs" / "twice" / "run.json")["held_out"]["twice"]
    assert facts["left_out"] > 0 and any("stand among the training rows" in warning for warning in warnings)


def test_a_killed_mixture_goes_on_with_the_same_bits(base, here, files):
    from luthier.verbs import training

    words = {"model": str(base), **QUICK, **files, "training.save_every": 2, "data.held_out": {}}
    luthier.train(recipe_file(here), words, name="whole")
    after = training.Trainer.after

    class Killed(BaseException):
        pass

    def broken(self, step):
        after(self, step)
        if step.number == 5:
            raise Killed

    training.Trainer.after = broken
    try:
        with pytest.raises(Killed):
            luthier.train(here / "luthier.yaml", words, name="killed")
    finally:
        training.Trainer.after = after
    luthier.train(None, {}, resume="killed")
    kept = [(here / "runs" / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("words, field", [
    ({"data.train": "where.jsonl"}, "data.train"), ({"data.weights": {"colours": 2}}, "data.weights.colours"), ({"data.map": {"prompt": "q"}}, "data.map"),
    ({"data.test": "say.jsonl"}, "data.test"),
])
def test_settings_that_contradict_each_other_are_a_sentence(here, base, files, words, field):
    with pytest.raises(RecipeError) as caught:
        luthier.check(recipe_file(here), {"model": str(base), "task": "chat", **files, **words})
    assert caught.value.code == "R201" and caught.value.field == field


def test_kinds_are_asked_of_models_that_write(here, base, files):
    (here / "labels.csv").write_text("text,label\n" + "\n".join(f"text {number},{COLOURS[number % 4]}" for number in range(40)) + "\n")
    words = {"model": str(base), "task": "classification", "data.train": "labels.csv", "data.held_out": {"say": "say.jsonl"}, "training.max_steps": 1}
    with pytest.raises(RecipeError, match="writes none"):
        luthier.train(recipe_file(here), words, name="labels")


def test_figures_of_a_source_and_of_a_kind_are_those_of_its_rows():
    class Task:
        headline = "right"

        def score(self, answers, records):
            return {"right": mean("right", [float(answer.text == record) for answer, record in zip(answers, records, strict=True)])}

    answers = [Answer(text) for text in "abxd"]
    found = by_source([Result("tuned", answers, {})], ["one", "two", "two", "one"], Task(), list("abcd"), seed=1, resamples=200)
    assert found["one"]["tuned"]["value"] == 1.0 and found["two"]["tuned"]["value"] == 0.5 and found["two"]["tuned"]["n"] == 2

    class Kind:
        name, rows, overlap = "sums", [0] * 4, 0

    before, after = mean("right", [1.0, 1.0, 0.0, 0.0]), mean("right", [1.0, 0.0, 0.0, 0.0])
    change = compared([Kind], {"sums": {0: before}}, {"sums": {0: after}}, headline="right", seed=1, resamples=200, say=lambda event: None)["sums"]["shots"]["0"]
    assert (change["base"]["value"], change["tuned"]["value"], change["change"]["value"]) == (0.5, 0.25, -0.25)
