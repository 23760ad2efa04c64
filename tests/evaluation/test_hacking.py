"""Reward hacking in words: a constructed case in which it fires, and those in which it must not; and whether a model of preferences judges by length."""
import numpy as np
import pytest

from luthier.evaluation.hacking import Suspicion, hacking
from luthier.evaluation.length_bias import length_bias as told_bias
from luthier.evaluation.results import Result
from luthier.evaluation.verdict import verdict
from luthier.metrics.metric import mean
from luthier.metrics.preferences import length_bias
from luthier.tasks.answers import Answer
from luthier.tasks.prompts import mean_of_known

ROWS = 60


def world(reward_up: float, quality_up: float, seed: int = 2) -> tuple[dict, dict]:
    """Figures of the same rows before and after: a reward and two qualities, of which the second never changes."""
    draw = np.random.default_rng(seed)
    before = {"reward": draw.normal(0.2, 0.1, ROWS), "rouge_l": draw.normal(0.6, 0.1, ROWS), "chrf": draw.normal(40, 5, ROWS)}
    after = {"reward": before["reward"] + draw.normal(reward_up, 0.1, ROWS), "rouge_l": before["rouge_l"] + draw.normal(quality_up, 0.1, ROWS), "chrf": before["chrf"] + draw.normal(0, 1, ROWS)}
    return tuple({name: mean(name, values) for name, values in side.items()} for side in (before, after))


def found(reward_up: float, quality_up: float, watched=("rouge_l", "chrf"), **more) -> dict:
    return hacking(*world(reward_up, quality_up), headline="reward", watched=watched, resamples=400, **more)


def test_a_reward_that_rises_while_quality_falls_is_told():
    told = found(0.3, -0.2)
    assert told["found"] and [one["metric"] for one in told["fell"]] == ["rouge_l"]
    assert "The reward was hacked" in told["sentence"] and "ROUGE-L fell from 0.597" in told["sentence"] and "raise objective.kl" in told["sentence"]


@pytest.mark.parametrize(("reward_up", "quality_up"), [(0.3, 0.2), (0.3, 0.0), (0.0, -0.2), (-0.3, -0.2)])
def test_it_is_not_told_where_either_does_not_move_so(reward_up, quality_up):
    told = found(reward_up, quality_up)
    assert not told["found"] and told["sentence"] == ""


def test_a_win_rate_by_somebody_else_is_a_witness_and_by_the_reward_is_none():
    lost = {"by": "endpoint", "value": 0.2, "low": 0.1, "high": 0.3, "p_value": 0.001}
    assert found(0.3, 0.0, win_rate=lost)["found"] and not found(0.3, 0.0, win_rate={**lost, "by": "reward"})["found"]
    assert not found(0.3, 0.0, win_rate={**lost, "high": 0.6, "p_value": 0.4})["found"]


def test_nothing_watched_is_said_too():
    told = found(0.3, -0.2, watched=())
    assert not told["found"] and "cannot be told" in told["sentence"]


def test_chance_alone_is_seldom_called_hacking():
    fired = [hacking(*world(0.3, 0.0, seed), headline="reward", watched=("rouge_l", "chrf"), resamples=200)["found"] for seed in range(80)]
    assert sum(fired) <= 6


def test_a_hacked_reward_takes_the_win():
    before, after = world(0.3, -0.2)
    results = [Result(name, [Answer("x")] * ROWS, metrics) for name, metrics in (("base", before), ("tuned", after))]
    hacked = hacking(before, after, headline="reward", watched=("rouge_l",), resamples=200)
    plain = verdict(results, metric="reward", resamples=200)
    told = verdict(results, metric="reward", resamples=200, beside={"reward_hacking": hacked})
    assert plain["winner"] == "tuned" and told["winner"] == "base"
    assert "Tuning helped" in plain["sentence"] and "Tuning helped" not in told["sentence"] and "costs" not in told["sentence"]
    assert "Do not use tuned: its reward no longer measures" in told["sentence"] and "The reward was hacked" in told["sentence"] and told["reward_hacking"]["found"]


def test_while_learning_it_is_told_once_and_after_a_resume_too(tmp_path):
    before, after = world(0.3, -0.2)
    events = []
    watch = Suspicion(tmp_path / "first_look.json", "reward", events.append)
    watch.look(0, before, ["rouge_l"])
    watch.look(5, before, ["rouge_l"])
    assert not events
    again = Suspicion(tmp_path / "first_look.json", "reward", events.append)  # as a resumed run makes it
    again.look(10, after, ["rouge_l"])
    again.look(15, after, ["rouge_l"])
    assert len(events) == 1 and events[0].data == {"code": "T305", "step": 10} and "by step 10 on validation prompts" in events[0].message


# ---- rows without a reward --------------------------------------------------------------------------
def test_rows_without_a_reward_stand_outside_the_mean():
    metric = mean_of_known("reward", [-2.0, None, -4.0])
    assert metric.value == -3.0 and metric.recompute([0, 1]) == -2.0 and np.isnan(metric.recompute([1]))


# ---- length -----------------------------------------------------------------------------------------
def test_length_bias_worked_by_hand():
    """Right on 3 of 4 where the better answer is longer, on 1 of 2 where it is shorter; the pair of equal length counts for neither."""
    metric = length_bias([1, 1, 1, 0, 1, 0, 1], [5, 1, 2, 9, -3, -1, 0])
    assert metric.value == pytest.approx(0.75 - 0.5) and length_bias([1, 0], [3, 4]) is None


def test_a_model_that_likes_long_answers_is_told_and_one_that_does_not_is_not():
    longer = [1] * 80 + [-1] * 80
    lover = told_bias(length_bias([1.0] * 80 + [0.0] * 80, longer), resamples=400)
    assert lover["value"] == 1.0 and "towards the longer answer" in lover["sentence"] and lover["longer"] == {"n": 80, "value": 1.0}
    fair = told_bias(length_bias(([1.0] * 3 + [0.0]) * 40, longer), resamples=400)
    assert fair["value"] == 0 and fair["sentence"] == ""
