"""The figure that decides a chat is the user's to choose: right or wrong by what an answer comes to."""
import json

import pytest

import luthier
from luthier.errors import DataError, RecipeError
from luthier.files import read_json

QUICK = {
    "training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4, "training.epochs": 1, "method": "full",
    "evaluation.contestants": ["majority", "nearest", "tuned"], "task.name": "chat", "task.measure": "correct", "task.answer": "#### (.+)",
}


@pytest.fixture
def sums(here):
    rows = [{"prompt": f"What is {one} and {other}?", "completion": f"{one} + {other} = {one + other}\n#### {one + other}"} for one in range(8) for other in range(6)]
    path = here / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def no_fresh_process(monkeypatch):
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def test_the_verdict_is_over_right_and_wrong_answers(base, sums, here):
    verdict = luthier.train(str(sums), {"model": str(base), **QUICK}, name="first").verdict
    assert verdict["metric"] == "correct" and verdict["paired_test"]["name"] == "exact McNemar"
    assert "answer accuracy" in verdict["sentence"]
    answers = [json.loads(line) for line in (here / "runs" / "first" / "evaluation" / "nearest.jsonl").read_text().splitlines()]
    own = sum(row["answer"].split("#### ")[-1] == row["target"].split("#### ")[-1] for row in answers) / len(answers)
    figures = read_json(here / "runs" / "first" / "evaluation" / "results.json")["contestants"]["nearest"]["metrics"]
    assert figures["correct"]["value"] == own and {"rouge_l", "chrf", "exact_match"} <= figures.keys()


def test_a_target_that_the_pattern_does_not_fit_is_named_before_a_step_is_made(base, sums, here):
    rows = sums.read_text().splitlines()
    bad = json.dumps({"prompt": "What is nine and nine?", "completion": "eighteen"})
    (here / "test.jsonl").write_text("\n".join([rows[0], bad]) + "\n", encoding="utf-8")
    (here / "train.jsonl").write_text("\n".join(rows[1:]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="finds nothing") as caught:
        luthier.train("train.jsonl", {"model": str(base), **QUICK, "data.test": "test.jsonl"}, name="bad")
    error = caught.value.to_dict()
    assert (error["code"], error["file"], error["line"], error["rows"]) == ("D137", "test.jsonl", 2, [2])
    assert "eighteen" in error["hint"] and not (here / "runs" / "bad" / "metrics.jsonl").exists()


@pytest.mark.parametrize(("changed", "said"), [({"task.answer": ""}, "does not say what is right"), ({"task.answer": "#### ("}, "no regular expression"), ({"task.truth": "truth.jsonl"}, "both say")])
def test_what_is_not_said_or_said_twice_is_refused(base, sums, changed, said):
    with pytest.raises(RecipeError, match=said) as caught:
        luthier.train(str(sums), {"model": str(base), **QUICK, **changed})
    assert caught.value.code == "R203"


def test_json_answers_are_compared_by_value_or_refused(base, sums, here):
    rows = [{"prompt": f"order {number}", "completion": json.dumps({"order": number, "state": "open" if number % 2 else "sent"})} for number in range(48)]
    (here / "orders.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chosen = {**QUICK, "task.measure": "json_match", "task.answer": ""}
    assert luthier.train("orders.jsonl", {"model": str(base), **chosen}).verdict["metric"] == "json_match"
    with pytest.raises(DataError, match="no JSON") as caught:
        luthier.train(str(sums), {"model": str(base), **chosen})
    assert caught.value.code == "D137"
