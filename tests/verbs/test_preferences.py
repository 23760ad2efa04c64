"""Pairs from a file to a verdict: `luthier train` learns which answer people preferred and says whether it did."""
import json

import pytest
from preference_data import pairs, write

import luthier
from luthier.errors import RecipeError

QUICK = {"training.threads": 1, "evaluation.resamples": 200, "training.validation_rows": 8, "training.epochs": 3, "training.learning_rate": 2e-3, "data.test": 0.3}


def figures(run: str) -> list[dict]:
    return [row["figures"] for row in (json.loads(line) for line in open(f"runs/{run}/metrics.jsonl")) if "figures" in row]


def test_pairs_to_a_verdict(here, base):
    data = write(here / "pairs.jsonl", pairs(160))
    result = luthier.train(str(data), {"model": str(base), "objective": "dpo", **QUICK}, name="pairs")
    verdict = result.verdict
    assert verdict["metric"] == "preference_accuracy" and verdict["winner"] == "tuned" and verdict["difference"]["low"] > 0
    assert {one["name"] for one in verdict["contestants"]} == {"coin", "length", "base", "tuned"}
    told = verdict["implicit_reward"]
    assert told["low"] > 0.5 and told["n"] == verdict["n"] and told["over_length"]["low"] > 0 and "the chosen answer gained more: right on" in verdict["sentence"]
    looks = [json.loads(line)["metrics"] for line in open("runs/pairs/metrics.jsonl") if '"validation"' in line]
    assert looks[0]["implicit_accuracy"] == 0.5 and looks[-1]["implicit_accuracy"] > 0.9
    assert "the chosen answer gained more" in (here / "runs/pairs/report.html").read_text()
    seen = figures("pairs")
    assert seen[0]["reward/margin"] == pytest.approx(0, abs=1e-4) and seen[-1]["reward/margin"] > 0.1
    assert json.loads((here / "runs/pairs/run.json").read_text())["objective"] == "dpo"
    assert luthier.evaluate("pairs").verdict["winner"] == "tuned"
    assert isinstance(luthier.predict("pairs", "where is the red drum 3?").to_dict(), dict)


def test_a_file_of_pairs_chooses_the_objective(here, base):
    data = write(here / "pairs.jsonl", pairs(60))
    found = luthier.check(str(data), {"model": str(base)}).to_dict()
    assert found["ok"] and "pairs of answers" in found["mapping"]
    luthier.init(str(data))
    assert "objective: dpo" in (here / "luthier.yaml").read_text()


def test_long_talks_are_shortened_where_asked(here, base):
    talk = [("user", "tell me more about it"), ("assistant", "there is more to it")] * 40
    rows = [{**row, "prompt": [{"role": role, "content": content} for role, content in (*talk[: 80 * (number % 2)], ("user", row["prompt"]))]} for number, row in enumerate(pairs(40))]
    data, given = write(here / "long.jsonl", rows), {"model": str(base), "objective": "dpo", "data.test": 0, "data.validation": 0}
    used = {way: luthier.check(str(data), {**given, "data.when_long": way}).to_dict()["ledger"]["train"] for way in ("exclude", "drop_turns")}
    assert used["exclude"]["used"] == 20 and used["exclude"]["left_out"] == {"longer than the context": 20}
    assert used["drop_turns"]["used"] == 40 and used["drop_turns"]["tokens"]["cut"] > 20 * 40


def test_a_task_that_writes_no_answers_is_refused_with_the_legal_ones(here, base, tickets):
    with pytest.raises(RecipeError) as error:
        luthier.train(str(tickets), {"model": str(base), "task": "classification", "objective": "dpo"})
    assert error.value.code == "R190" and "chat" in error.value.hint


@pytest.mark.parametrize("objective, method", [pytest.param("orpo", "lora", marks=pytest.mark.nightly), pytest.param("kto", "lora", marks=pytest.mark.nightly), ("reward", "lora"), ("reward", "full")])
def test_the_other_ways_to_learn_from_pairs(here, base, objective, method):
    data = write(here / "pairs.jsonl", pairs(160))
    chosen = {"objective.name": objective} | ({"objective.records": "pairs"} if objective == "kto" else {})
    result = luthier.train(str(data), {"model": str(base), "method": method, **chosen, **QUICK, "training.epochs": 1 if objective != "reward" else 2, "training.learning_rate": 5e-3}, name=objective)
    assert result.verdict["metric"] == "preference_accuracy" and result.verdict["winner"] == "tuned", result.verdict["sentence"]
    facts = json.loads((here / f"runs/{objective}/run.json").read_text())
    assert facts["objective"] == objective and facts["reload"]["ok"]


def test_ratings_to_a_verdict(here, base):
    rows = [{"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"} for number, row in enumerate(pairs(160)) for side in [("chosen", "rejected")[number % 2]]]
    result = luthier.train(str(write(here / "rated.jsonl", rows)), {"model": str(base), "objective": "kto", **QUICK, "training.learning_rate": 5e-3}, name="rated")
    assert result.verdict["metric"] == "rating_auc" and result.verdict["difference"]["low"] > 0


def test_prompts_with_references_become_a_recipe_with_a_reward(here):
    write(here / "asked.jsonl", [{"prompt": f"what is {number} and one?", "reference": str(number + 1), "level": "easy"} for number in range(20)])
    luthier.init("asked.jsonl")
    assert "name: grpo" in (here / "luthier.yaml").read_text() and "task:rouge_l" in (here / "luthier.yaml").read_text()
    (here / "asked.grader.json").write_text('{"type": "string_check", "operation": "eq", "input": "{{sample.output_text}}", "reference": "{{item.reference}}"}')
    found = luthier.init("asked.jsonl", output="graded.yaml").to_dict()
    assert "grader:asked.grader.json" in (here / "graded.yaml").read_text() and found["task"] == "chat" and "prompts with reference answers" in found["sentence"]
    told = luthier.check("graded.yaml").to_dict()
    assert told["ok"] and "for graders: level" in told["mapping"] and not [one for one in told["findings"] if one["code"] == "D112"]
