"""`compare` and `examples --lost` over real runs: the better one is found, what differs is named, and rows are paired by what they ask."""
import numpy as np
import pytest
import torch

import luthier
from luthier.errors import RecipeError
from luthier.evaluation.comparison import paired, recipes, rows_both
from luthier.metrics.metric import mean

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4, "method": "full", "evaluation.contestants": ["base", "tuned"]}


def test_a_longer_training_is_better_and_the_recipe_says_why(base, chats, here, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    for name, steps in (("short", 2), ("long", 60)):
        luthier.train(chats, {"model": str(base), **QUICK, "training.learning_rate": 1e-2, "training.max_steps": steps}, name=name)
    found = luthier.compare("short", "long").to_dict()
    assert {row["key"] for row in found["recipe"]} >= {"training.max_steps"} and all("rank" not in row["key"] for row in found["recipe"])
    assert found["result"]["n"] == 12 and found["result"]["difference"]["value"] > 0.1 and found["result"]["won"] > found["result"]["lost"]
    assert found["sentence"].startswith("long is better than short") or "cannot be told apart" in found["sentence"]
    figures = {row["metric"]: row for row in found["result"]["figures"]}
    assert set(figures) >= {"rouge_l", "chrf", "exact_match", "perplexity"} and figures["rouge_l"]["difference"] == found["result"]["difference"]
    assert figures["perplexity"]["second"] < figures["perplexity"]["first"] and figures["perplexity"]["difference"]["value"] > 0
    back = luthier.compare("long", "short").to_dict()["result"]
    assert back["difference"]["value"] == pytest.approx(-found["result"]["difference"]["value"]) and back["won"] == found["result"]["lost"]
    lost = luthier.examples("long", lost=True).to_dict()
    assert lost["won"] >= 8 and lost["lost"] == len(lost["rows"]) and all(row["gain"] < 0 for row in lost["rows"])
    with pytest.raises(RecipeError, match="with itself"):
        luthier.compare("long", "long")


def test_rows_are_paired_by_what_they_ask():
    first = [{"question": "a", "target": "1"}, {"question": "b", "target": "2"}, {"question": "a", "target": "1"}]
    second = [{"question": "b", "target": "2"}, {"question": "a", "target": "1"}, {"question": "c", "target": "3"}]
    assert rows_both(first, second) == [(0, 1), (1, 0)]


def test_recipes_show_differences_only():
    assert recipes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == [{"key": "b", "first": 2, "second": 3}, {"key": "c", "first": None, "second": 4}]


def test_lower_is_better_turns_wins():
    rows = [{"question": str(at), "target": "", "answer": "x"} for at in range(40)]
    worse, better = (mean("bits", np.full(40, level) + np.linspace(0, 0.1, 40), higher_is_better=False) for level in (2.0, 1.0))
    found = paired([worse], [better], rows, rows, resamples=200)
    assert found["won"] == 40 and found["difference"]["value"] == pytest.approx(1.0) and len(found["examples"]) == 5


def test_the_spread_between_seeds_is_in_the_difference():
    rows = [{"question": str(at), "target": "", "answer": "x"} for at in range(60)]
    draws = np.random.default_rng(3)
    one = mean("f", draws.random(60))
    seeds = [mean("f", np.clip(one.per_row + shift, 0, 2)) for shift in (0.0, 0.3, 0.6)]
    narrow, wide = paired([one], [seeds[1]], rows, rows, resamples=200), paired([one], seeds, rows, rows, resamples=200)
    assert wide["seeds"] == [1, 3] and wide["difference"]["value"] == pytest.approx(0.3, abs=1e-6)
    assert wide["difference"]["high"] - wide["difference"]["low"] > 3 * (narrow["difference"]["high"] - narrow["difference"]["low"])
