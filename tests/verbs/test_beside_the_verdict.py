"""Beside the verdict of preferences and rewards: win rates by a score and by a judge over HTTP, forgetting, a reward that is hacked, length and calibration; and in the report."""
import json

import pytest
from loopback import Judge
from preference_data import pairs, write

import luthier
from luthier.errors import RecipeError, WorkFailed
from luthier.generation import remote
from luthier.runs.folder import Run
from luthier.tasks.answers import Answer
from luthier.verbs.comparing import keep_answers, read_answers
from luthier.verbs.fix import fix

QUICK = {"training.threads": 1, "evaluation.resamples": 200, "training.validation_rows": 16, "training.epochs": 2, "training.learning_rate": 2e-3, "data.test": 0.3}
LEARN = {
    "training.threads": 1, "evaluation.resamples": 200, "training.validation_rows": 24, "training.batch_size": 4, "training.max_steps": 16, "training.learning_rate": 1e-2, "data.test": 0.3, "data.validation": 0.3,
    "training.evaluate_every": 8, "objective.name": "grpo", "objective.group_size": 8, "objective.max_answer_tokens": 8, "training.warmup": 0.0, "training.schedule": "constant", "method": "full", "task": "chat",
    "objective.rewards": ["regex:e"],
}


def report(run: str) -> str:
    return open(f"runs/{run}/report.html", encoding="utf-8").read()


def rows(path: str) -> list[dict]:
    return [json.loads(line) for line in open(path, encoding="utf-8", newline="\n")]


@pytest.fixture(autouse=True)
def without_the_fresh_process(monkeypatch):
    """The save-and-reload check starts a process that imports every library; it has tests of its own."""
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


@pytest.fixture
def judge(monkeypatch):
    """A judge on the loopback address that likes the answer with more letters e; `limit` is how many questions it answers before it falls silent."""
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    found = Judge(liked)
    yield found
    found.stop()


def liked(first: str, second: str) -> str:
    return "tie" if first.count("e") == second.count("e") else "A" if first.count("e") > second.count("e") else "B"


def by_judge(judge) -> dict:
    return {"evaluation.win_rate.by": "endpoint", "evaluation.win_rate.endpoint.url": judge.url, "evaluation.win_rate.endpoint.model": "judge", "evaluation.win_rate.prompts": 20}


def test_a_judge_over_http_stands_beside_the_verdict(here, base, judge):
    data = write(here / "pairs.jsonl", pairs(100))
    result = luthier.train(str(data), {"model": str(base), "objective": "dpo", **QUICK, "training.learning_rate": 1e-2, **by_judge(judge)}, name="judged")
    found, kept = result.verdict["win_rate"], rows("runs/judged/evaluation/win_rate.jsonl")
    assert found["by"] == "endpoint" and found["n"] == len(kept) == 20 and found["wins"] + found["ties"] + found["losses"] == 20
    expected = {"A": 0.0, "B": 1.0, "tie": 0.5}
    assert [row["outcome"] for row in kept] == [expected[liked(row["before"], row["after"])] for row in kept]
    assert len({row["prompt"] for row in kept}) == 20 and found["judge"]["turned"] == 0 and len(judge.asked) > 10
    assert found["sentence"] in result.verdict["sentence"] and "general text costs" in result.verdict["sentence"] and result.verdict["forgetting"]["after"] > 0
    page = report("judged")
    assert "Tuned against the starting model, answer by answer" in page and "both orders of each pair" in page and "Chosen and rejected" in page and "Margin and length" not in page and "Sure and right" in page and "What was lost" in page
    asked = len(judge.asked)
    again = luthier.evaluate("judged", probes=["memorisation", "form", "overfitting"])
    assert again.verdict["win_rate"]["value"] == found["value"] and len(judge.asked) > asked
    probed = {one["name"]: one for one in again.more["probes"]}
    assert {"malformed", "overfitting"} <= set(probed) and probed["malformed"]["n"] == 30, "probes ask what both models write, and not which of two answers they like"


def test_a_judge_that_is_not_there_is_told_before_anything_is_learned(here, base, judge):
    data, judge.limit = write(here / "pairs.jsonl", pairs(60)), 0
    with pytest.raises(WorkFailed) as failed:
        luthier.train(str(data), {"model": str(base), "objective": "dpo", **QUICK, **by_judge(judge)}, name="nobody")
    assert failed.value.code == "E133" and "evaluation.win_rate.endpoint" in failed.value.hint and not (here / "runs/nobody/metrics.jsonl").exists()


def test_a_judge_that_falls_silent_costs_the_win_rate_and_not_the_run(here, base, judge):
    data, judge.limit = write(here / "pairs.jsonl", pairs(60)), 3
    result = luthier.train(str(data), {"model": str(base), "objective": "dpo", **QUICK, "training.learning_rate": 1e-2, **by_judge(judge)}, name="silent")
    assert len(judge.asked) > 3, "the two models answered alike, so nobody was asked"
    assert result.status == "done" and result.verdict["winner"] and "There is no win rate by endpoint" in result.verdict["sentence"]


@pytest.mark.parametrize(("more", "code"), [
    ({"evaluation.win_rate.by": "endpoint"}, "R198"), ({"evaluation.win_rate.by": "reward"}, "R198"), ({"evaluation.win_rate.by": "taste:fine"}, "R191"), ({"evaluation.win_rate.by": "run:nobody"}, None),
    ({"evaluation.win_rate.by": "task:rouge_l", "objective.name": "reward"}, "R198"),
])  # fmt: skip
def test_win_rates_that_cannot_be_had(here, base, more, code):
    data = write(here / "pairs.jsonl", pairs(40))
    with pytest.raises(RecipeError) as error:
        luthier.train(str(data), {"model": str(base), "objective.name": "dpo", **QUICK, **more}, name="no")
    assert (code is None or error.value.code == code) and error.value.hint and not (here / "runs/no/metrics.jsonl").exists()


def test_by_the_task_s_own_score_where_nothing_is_said(here, base):
    data = write(here / "pairs.jsonl", pairs(80))
    result = luthier.train(str(data), {"model": str(base), "objective": "orpo", **QUICK, "training.learning_rate": 1e-2, "training.epochs": 3}, name="scored")
    found = result.verdict["win_rate"]
    assert found["by"] == "task:rouge_l" and found["n"] == 24 and found["low"] > 0.5 and "tuned wins against the starting model" in result.verdict["sentence"], found
    luthier.train(str(data), {"model": str(base), "objective": "dpo", **QUICK, "training.max_steps": 2, "evaluation.win_rate.by": "none"}, name="short")
    compared = luthier.compare("short", "scored").to_dict()["result"]
    assert compared["metric"] == "preference_accuracy" and compared["n"] == 24


def test_a_file_of_pairs_is_repaired_as_pairs(here, base):
    data = write(here / "pairs.jsonl", [*pairs(20), pairs(20)[3]])
    made = fix(str(data), {"model": str(base), "objective": "dpo"}).to_dict()
    assert (made["rows_in"], made["rows_out"]) == (21, 20) and made["done"]


# ---- hacking --------------------------------------------------------------------------------------
@pytest.fixture
def prompts(here):
    return write(here / "prompts.jsonl", [{"prompt": f"where is thing {number}?"} for number in range(120)])


def warned(run: str) -> list[dict]:
    return [row for row in rows(f"runs/{run}/events.jsonl") if row["data"].get("code") == "T305"]


def test_a_reward_that_is_hacked_is_told_while_learning_and_in_the_verdict(here, base, prompts):
    """What is watched is the opposite of what is rewarded, so that every gain is a loss."""
    result = luthier.train(str(prompts), {"model": str(base), **LEARN, "objective.watched": ["regex:^[^e]*$"]}, name="hacked")
    found = result.verdict["reward_hacking"]
    assert found["found"] and found["fell"][0]["metric"] == "watched" and result.verdict["winner"] == "base"
    assert "The reward was hacked" in result.verdict["sentence"] and "Do not use tuned" in result.verdict["sentence"]
    told = warned("hacked")
    assert any("on validation prompts" in one["message"] and one["data"]["step"] > 0 for one in told)
    page = report("hacked")
    for words in ("Preferences and rewards", "The reward was hacked", "Reward and what it stands for", "Distance from the starting model", "Length of answers", "Variety of answers", "Shares that should be small"):
        assert words in page, words


def test_a_reward_that_stands_for_what_is_watched_is_not_called_hacked(here, base, prompts):
    result = luthier.train(str(prompts), {"model": str(base), **LEARN, "objective.watched": ["regex:[eE]"]}, name="honest")
    verdict = result.verdict
    assert verdict["difference"]["low"] > 0 and not verdict["reward_hacking"]["found"] and verdict["reward_hacking"]["watched"] == ["watched"] and not warned("honest") and verdict["winner"] == "tuned"
    assert verdict["win_rate"]["by"] == "reward"


# ---- reward models ----------------------------------------------------------------------------------
def test_a_reward_model_is_calibrated_and_asked_about_length(here, base):
    """The better answer is the longer one in half of the pairs."""
    made = []
    for number, row in enumerate(pairs(200)):
        better, worse = row["chosen"], row["rejected"]
        made.append({**row, "chosen": f"{better} and so on" if number % 2 else better, "rejected": worse if number % 2 else f"{worse} and so on"})
    result = luthier.train(str(write(here / "pairs.jsonl", made)), {"model": str(base), "objective": "reward", **QUICK, "training.learning_rate": 5e-3, "data.validation": 0.2}, name="rm")
    facts = json.loads((here / "runs/rm/run.json").read_text())
    assert facts["calibration"]["temperature"] > 0 and facts["calibration"]["rows"] >= 20
    tuned = json.loads((here / "runs/rm/evaluation/results.json").read_text())["contestants"]["tuned"]["metrics"]
    assert {"preference_accuracy", "preference_margin", "brier", "ece", "length_bias"} <= set(tuned)
    assert set(result.verdict["length_bias"]) >= {"value", "longer", "shorter"} and "win_rate" not in result.verdict
    page = report("rm")
    assert "Pair by pair" in page and "Margin and length of each pair" in page and "Sure and right" in page and "fitted on" in page
    judged = luthier.train("pairs.jsonl", {"model": str(base), "objective": "dpo", **QUICK, "training.epochs": 1, "evaluation.win_rate.by": "run:rm"}, name="judged-by-rm").verdict["win_rate"]
    kept = rows("runs/judged-by-rm/evaluation/win_rate.jsonl")
    assert judged["by"] == "run:rm" and judged["n"] == len(kept) and all((row["outcome"] == 1.0) == (row["scores"][1] > row["scores"][0]) for row in kept if row["outcome"] != 0.5)


# ---- texts ----------------------------------------------------------------------------------------
def test_answers_with_odd_line_ends_are_kept_and_read(tmp_path):
    run = Run(tmp_path)
    run.evaluation_folder.mkdir()
    answers = [Answer("one\u2028two\u0085three\u2029four\r\nfive\x0bsix")]
    keep_answers(run, "tuned", "key", answers, {"note": ""})
    assert read_answers(run, "tuned", "key")[0] == answers
