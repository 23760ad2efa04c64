"""Advice before the run, settings found on validation rows, and a range of rates: over real trainings of a tiny base."""

import pytest
import torch

import luthier
from luthier.errors import WorkFailed
from luthier.files import read_json
from luthier.preparation.part import part_of
from luthier.verbs.lr import reading, smoothed

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 2, "method": "full", "evaluation.contestants": ["majority", "base", "tuned"]}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def test_advice_then_training_then_the_forecast_is_held_against_what_happened(base, chats, here):
    recipe = {"model": str(base), **QUICK, "training.learning_rate": 1e-2, "training.epochs": 6, "training.batch_size": 8, "data.validation": 0.2}
    found = luthier.advise(chats, recipe, minutes=5).to_dict()
    assert set(found["untrained"]) == {"majority", "base"} and [pilot["share"] for pilot in found["pilots"]] == [0.1, 0.25, 0.5]
    rows = [pilot["rows"] for pilot in found["pilots"]]
    assert rows == sorted(rows) and rows[-1] < found["forecast"]["rows"] and found["forecast"]["low"] <= found["forecast"]["value"] <= found["forecast"]["high"]
    assert found["strategy"] in ("tune", "undecided", "majority", "base") and found["sentence"]
    assert not (here / "runs" / found["run"] / "verdict.json").exists(), "advice looks at no test row"
    assert "Learning curve with its forecast" in (here / "runs" / found["run"] / "report.html").read_text()
    luthier.train(chats, recipe, name="full")
    assert "Learning curve with its forecast" in (here / "runs" / "full" / "report.html").read_text()
    assert "training rows more are worth" in read_json(here / "runs" / "full" / "verdict.json")["sentence"]
    kept = read_json(here / "runs" / "full" / "run.json")["forecasts"]
    assert len(kept) == 1 and kept[0]["run"] == found["run"] and kept[0]["inside"] == (kept[0]["low"] <= kept[0]["happened"] <= kept[0]["high"])


def test_the_base_of_the_pilots_is_chosen_where_nobody_named_one(base, chats, here, monkeypatch):
    """A data file alone: the catalogue chooses by task, machine and network and says why; a base that is named stays, and the choice is told beside it."""
    asked, notes = [], []
    monkeypatch.setattr("luthier.verbs.advise.choose", lambda task, **how: asked.append((task, how)) or (str(base), "model tiny: the largest for chat"))
    words = {key: value for key, value in QUICK.items()} | {"training.max_steps": 4}
    found = luthier.advise(chats, words, minutes=0.0001, say=lambda event: notes.append(event.message)).to_dict()
    assert found["base"] == {"name": str(base), "chosen": str(base), "why": "model tiny: the largest for chat"} and "model tiny: the largest for chat" in notes
    assert asked[0][0] == "chat" and set(asked[0][1]) == {"accelerator", "memory_free"}
    monkeypatch.setattr("luthier.verbs.advise.choose", lambda task, **how: ("other/base", "model other/base: larger"))
    found = luthier.advise(chats, {**words, "model": str(base)}, minutes=0.0001, say=lambda event: notes.append(event.message)).to_dict()
    assert found["base"]["name"] == str(base) and found["base"]["chosen"] == "other/base" and any("it would be other/base: larger" in note for note in notes)


def test_little_time_is_little_advice(base, chats, here):
    found = luthier.advise(chats, {"model": str(base), **QUICK, "training.max_steps": 10}, minutes=0.0001).to_dict()
    assert len(found["pilots"]) == 1 and found["forecast"] is None and found["strategy"] == "undecided" and "more minutes" in found["sentence"]


def test_a_search_finds_a_rate_that_learns_and_goes_on_where_it_stopped(base, chats, here):
    pytest.importorskip("optuna")
    recipe = {"model": str(base), **QUICK, "training.max_steps": 12, "training.evaluate_every": 4, "evaluation.max_rows": 4}
    result = luthier.search(chats, recipe, trials=4, seeds=1, name="hunt").to_dict()
    found = result["search"]
    history = read_json(here / "runs" / "hunt" / "search.json")["history"]
    assert found["trials"] == 4 and len(history) == 4 and found["value"] == min(one["value"] for one in history if one["state"] == "complete")
    assert history[0]["training.learning_rate"] == 5e-4 and history[0]["training.weight_decay"] == 0.0, "the first trial is the recipe as it stands"
    assert read_json(here / "runs" / result["run"] / "run.json")["status"] == "done" and result["verdict"]
    resolved = (here / "runs" / result["run"] / "luthier.yaml").read_text()
    assert f"{found['best']['training.batch_size']}" in resolved
    again = luthier.search(chats, recipe, trials=5, seeds=1, name="hunt").to_dict()["search"]
    assert again["trials"] == 5, "the study goes on, it does not begin anew"


def test_a_range_of_rates_over_a_real_training(base, chats, here):
    found = luthier.lr(chats, {"model": str(base), **QUICK}, low=1e-5, high=3.0, steps=40).to_dict()
    assert 1e-5 < found["suggestion"] < 1 and found["suggestion"] <= found["upper"] and len(found["points"]) > 10
    picture = (here / "runs" / found["run"] / "range.svg").read_text()
    assert picture.startswith("<svg xmlns") and "learning rate" in picture


def test_the_curve_is_read_where_it_falls_steepest():
    points = [{"rate": 10 ** (-6 + at / 10), "smooth": 3 - 2 / (1 + 10 ** (-(at - 30) / 5)) + (0.2 * (at - 45) if at > 45 else 0)} for at in range(60)]
    found = reading(points)
    assert 5e-4 < found["suggestion"] < 3e-3 and found["upper"] >= found["suggestion"]
    assert reading([{"rate": 10**-at, "smooth": 1.0} for at in range(9, 0, -1)])["suggestion"] is None
    with pytest.raises(WorkFailed):
        reading(points[:3])
    assert smoothed([2.0, 2.0]) == pytest.approx([2.0, 2.0])


def test_a_smaller_part_is_part_of_every_larger_one():
    class Store:
        key, lengths, learned, cuts, records, labels, values = "k", list(range(1, 41)), [1] * 40, [0] * 40, list(range(40)), [-1] * 40, None

        def __len__(self):
            return 40

        def __getitem__(self, index):
            return index

    small, large = part_of(Store(), 0.1, 5), part_of(Store(), 0.5, 5)
    assert len(small) == 4 and len(large) == 20 and set(small) <= set(large) and small.tokens == sum(small.lengths)
    assert set(part_of(Store(), 0.1, 6)) != set(small)
