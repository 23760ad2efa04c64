"""The decision rule names who is to be used: the cheapest within the margin; ties go to what costs less, and luck among many does not win."""
import numpy as np
import pytest

from luthier.errors import RecipeError
from luthier.evaluation import prices
from luthier.evaluation.prices import Cost, Prices, break_even, cost_of
from luthier.evaluation.results import Result
from luthier.evaluation.seeds import mean_of
from luthier.evaluation.verdict import Rule, verdict
from luthier.metrics.metric import mean
from luthier.tasks.answers import Answer

FREE = Prices(hours={}, hosted={})
HOURS = Prices(person_per_hour=50, hours={"few_shot": 0.25, "rag": 1, "tuned": 1, "tuned_rag": 2}, hosted={})


def scored(name, values, *, seconds=0.01, tokens=(20, 5), **more):
    values = np.asarray(values, dtype=float)
    answers = [Answer(f"{name} {at}", seconds=seconds, tokens_in=tokens[0], tokens_out=tokens[1]) for at in range(len(values))]
    return Result(name, answers, {"score": mean("score", values)}, **more)


def drawn(name, level, seed, count=200, noise=0.1, **more):
    return scored(name, np.clip(np.random.default_rng(seed).normal(level, noise, count), 0, 1), **more)


def judged(*results, prices=HOURS, margin="auto", volume=10_000, **options):
    return verdict(results, metric="score", resamples=400, rule=Rule(margin, volume, prices), **options)


def test_the_cheapest_within_the_margin_wins():
    level = np.random.default_rng(0).uniform(0.3, 0.7, 400)
    tuned, few = scored("tuned", level + 0.006), scored("few_shot", level + np.random.default_rng(1).normal(0, 0.01, 400))
    found = judged(tuned, few, drawn("base", 0.1, 3, 400))
    assert found["winner"] == "few_shot" and found["decision"]["best"] == "tuned" and found["decision"]["proven"]
    assert "Do not fine-tune for this: use few_shot, which costs less than tuned and is surely within 0.010" in found["sentence"]
    assert judged(tuned, few, drawn("base", 0.1, 3, 400), margin=0.001)["winner"] == "tuned", "the margin decides"


def test_without_a_difference_in_cost_the_better_wins():
    found = judged(drawn("tuned", 0.8, 1), drawn("base", 0.8, 2), prices=FREE, margin=0)
    assert found["winner"] == found["decision"]["best"]


@pytest.mark.parametrize(
    ("levels", "winner"),
    [
        ({"base": 0.1, "few_shot": 0.8, "rag": 0.8, "tuned": 0.8, "tuned_rag": 0.8}, "few_shot"),
        ({"base": 0.1, "few_shot": 0.3, "rag": 0.8, "tuned": 0.3, "tuned_rag": 0.8}, "rag"),
        ({"base": 0.1, "few_shot": 0.3, "rag": 0.3, "tuned": 0.8, "tuned_rag": 0.8}, "tuned"),
        ({"base": 0.1, "few_shot": 0.3, "rag": 0.5, "tuned": 0.5, "tuned_rag": 0.8}, "tuned_rag"),
        ({"base": 0.1, "few_shot": 0.1, "rag": 0.1, "tuned": 0.1, "tuned_rag": 0.1}, "base"),
    ],
)
def test_the_true_winner_of_each_case_is_named(levels, winner):
    right = sum(judged(*(drawn(name, level, 31 * seed + at) for at, (name, level) in enumerate(levels.items())), seed=seed)["winner"] == winner for seed in range(20))
    assert right >= 19


def lucky(trials, count, rows):
    """How often the dearest of many equal contestants wins."""
    random, won = np.random.default_rng(11), 0
    for trial in range(trials):
        everyone = [scored(name, random.integers(0, 2, rows)) for name in ["tuned", *(f"other {at}" for at in range(count))]]
        won += judged(*everyone, prices=Prices(person_per_hour=1, hours={"tuned": 1}, hosted={}), margin=0, seed=trial)["winner"] == "tuned"
    return won / trials


def test_among_many_equals_the_dearest_does_not_win_by_luck():
    assert lucky(100, 8, 80) <= 0.05


@pytest.mark.nightly
def test_among_many_equals_the_dearest_does_not_win_by_luck_in_2000_trials():
    assert lucky(2000, 8, 80) <= 0.05


def test_without_the_correction_for_many_luck_would_win(monkeypatch):
    """The guard: pairwise comparisons alone let somebody beat the cheapest of many equals far too often."""
    from luthier.evaluation import decision

    monkeypatch.setattr(decision, "bar_for_all", lambda standard_MR, alpha: 1.645)
    random, other = np.random.default_rng(11), 0
    for trial in range(40):
        everyone = [scored(name, random.integers(0, 2, 80)) for name in ["cheap", "tuned", *(f"other {at}" for at in range(12))]]
        other += judged(*everyone, prices=Prices(person_per_hour=1, hours={one.name: 1 for one in everyone[1:]}, hosted={}), margin=0, seed=trial)["winner"] != "cheap"
    assert other / 40 > 0.05


def test_too_few_rows_are_told_with_how_many_would_do():
    found = judged(drawn("tuned", 0.62, 1, 25, 0.3), drawn("base", 0.55, 2, 25, 0.3))
    assert found["winner"] == "base" and not found["decision"]["proven"] and found["decision"]["rows_to_prove"] > 25
    assert "test rows, which would show whether base is within" in found["sentence"]


def test_costs_and_break_even_by_hand():
    table = Prices(machine_per_hour=3.6, person_per_hour=10, hours={"tuned": 2}, hosted={"name": "h", "input_per_million": 1.0, "output_per_million": 4.0})
    spent = cost_of(scored("tuned", [1.0] * 4, seconds=0.5, setup_seconds=1000), table)
    assert spent.setup == pytest.approx(21) and spent.per_answer == pytest.approx(0.0005) and spent.per_thousand(1000) == pytest.approx(21.5)
    assert cost_of(scored("endpoint", [1.0], tokens=(1000, 250), hosted=True), table).per_answer == pytest.approx(0.002)
    assert break_even(Cost(10, 0.001), Cost(0, 0.002)) == pytest.approx(10_000)
    assert break_even(Cost(10, 0.003), Cost(0, 0.002)) is None and break_even(Cost(0, 0.001), Cost(5, 0.002)) == 0


def test_the_sentence_says_cost_break_even_and_what_would_change_it():
    table = Prices(person_per_hour=10, machine_per_hour=0, hours={"tuned": 1}, hosted={"name": "a hosted model", "input_per_million": 50.0, "output_per_million": 0.0})
    found = judged(drawn("tuned", 0.8, 1), drawn("base", 0.5, 2), prices=table)
    assert "tuned costs 1.00 USD per 1,000 answers if 10,000 are asked, and becomes cheaper than a hosted model at 1.00 USD above 10,000 answers" in found["sentence"]
    assert "This would change the answer: a margin above 0.293" in found["sentence"] and "with which base would do" in found["sentence"]


def test_what_pays_before_the_first_answer_pays_from_the_first():
    table = Prices(machine_per_hour=3600, person_per_hour=0, hosted={"name": "a hosted model", "input_per_million": 2000.0, "output_per_million": 0.0})
    cheap = scored("nearest", [1.0] * 50 + [0.0] * 50, seconds=0.001, setup_seconds=0.005)
    found = judged(cheap, scored("tuned", [0.0] * 100, seconds=1.0), prices=table)
    assert 0 < found["decision"]["hosted"]["break_even"] < 1 and "from the first answer less than a hosted model" in found["sentence"]


def test_a_dearer_setup_pays_above_a_volume():
    table = Prices(machine_per_hour=360, person_per_hour=10, hours={"tuned": 1}, hosted={})
    few, tuned = scored("few_shot", [1.0] * 50 + [0.0] * 50, seconds=0.02), scored("tuned", [1.0] * 50 + [0.0] * 50, seconds=0.01)
    low, high = (judged(few, tuned, prices=table, volume=volume) for volume in (100, 100_000))
    assert (low["winner"], high["winner"]) == ("few_shot", "tuned")
    assert low["decision"]["cheaper_above"]["tuned"] == pytest.approx(10_000, rel=1e-6)
    assert "more than 10,000 answers, from where tuned costs less" in low["sentence"]


def test_nothing_that_nobody_reaches_would_change_the_answer():
    """A volume of billions, and a margin that shows as 0.000, are not worth a word."""
    table = Prices(machine_per_hour=360, person_per_hour=10_000, hours={"tuned": 10}, hosted={})
    few, tuned = scored("few_shot", [1.0] * 50 + [0.0] * 50, seconds=0.0101), scored("tuned", [1.0] * 51 + [0.0] * 49, seconds=0.0100999)
    found = judged(few, tuned, prices=table)
    assert found["decision"]["cheaper_above"]["tuned"] > 1e9 and found["decision"]["behind"]["low"] <= 0
    assert "answers, from where" not in found["sentence"] and "a margin below" not in found["sentence"]


def test_seeds_widen_what_one_seed_would_claim():
    random = np.random.default_rng(3)
    base = scored("base", random.uniform(0.3, 0.7, 150))
    runs = [{"score": mean("score", base.metrics["score"].per_row + shift + random.normal(0, 0.02, 150))} for shift in (0.02, 0.09, -0.03)]
    one = Result("tuned", base.answers, runs[0])
    three = Result("tuned", base.answers, {"score": mean_of([run["score"] for run in runs])}, seeds=runs)
    alone, together = judged(one, base), judged(three, base)
    assert alone["winner"] == "tuned" and alone["difference"]["low"] > 0
    assert together["winner"] == "base" and together["difference"]["low"] < 0
    assert together["difference"]["high"] - together["difference"]["low"] > 3 * (alone["difference"]["high"] - alone["difference"]["low"])


def test_rows_of_one_group_are_one_witness():
    random = np.random.default_rng(5)
    level = np.repeat(random.normal(0.03, 0.1, 12), 25)
    tuned, base = scored("tuned", 0.5 + level), scored("base", [0.5] * 300)
    alone, grouped = judged(tuned, base), judged(tuned, base, groups=[at // 25 for at in range(300)])
    assert alone["winner"] == "tuned" and grouped["winner"] == "base" and grouped["groups"] == 12


def test_a_price_table_of_your_own(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("currency: EUR\nhours: {tuned: 4}\n")
    own = prices.read(path)
    assert own.currency == "EUR" and own.hours["tuned"] == 4 and own.hours["rag"] == prices.read().hours["rag"]
    for text, what in (("houres: {tuned: 1}\n", "houres"), ("hours: {tuned: much}\n", "hours.tuned"), ("machine_per_hour: -1\n", "machine_per_hour")):
        path.write_text(text)
        with pytest.raises(RecipeError, match=what):
            prices.read(path)
