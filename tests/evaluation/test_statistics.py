"""Intervals that cover, tests that do not cry wolf, figures worked by hand and equal to scipy's."""
import numpy as np
import pytest
from scipy import stats

from luthier.evaluation import statistics
from luthier.evaluation.statistics import announcement, detectable_before, difference, holm, interval, mcnemar, randomisation, rows_needed
from luthier.metrics.classification import scores
from luthier.metrics.language import perplexity
from luthier.metrics.metric import mean


@pytest.mark.parametrize("kind", ["bca", "percentile"])
def test_intervals_cover_the_truth(kind):
    random = np.random.default_rng(3)
    inside = 0
    for trial in range(400):
        found = interval(mean("score", random.normal(0.3, 1, 60)), resamples=800, seed=trial, kind=kind)
        inside += found.low <= 0.3 <= found.high
    assert 0.92 <= inside / 400 <= 0.98


def test_intervals_cover_the_truth_of_macro_f1():
    random = np.random.default_rng(4)
    skill = np.linspace(0.5, 0.98, 12)

    def drawn(size):
        target = random.integers(0, 12, size)
        answer = np.where(random.random(size) < skill[target], target, random.integers(0, 12, size))
        return scores([str(t) for t in target], [str(a) for a in answer])["macro_f1"]

    truth = drawn(300_000).value
    found = [interval(drawn(300), resamples=600, seed=trial) for trial in range(120)]
    assert 0.89 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.99


def test_where_nothing_differs_better_is_rare():
    random = np.random.default_rng(5)
    target = random.integers(0, 5, 120)
    said, wrongly = 0, 0
    for trial in range(150):
        first, second = (np.where(random.random(120) < 0.7, target, random.integers(0, 5, 120)) for _ in range(2))
        both = [scores([str(t) for t in target], [str(a) for a in answer])["macro_f1"] for answer in (first, second)]
        found = difference(*both, resamples=400, seed=trial)
        said += found.low > 0 or found.high < 0
        wrongly += found.low > 0 and found.p_value < 0.05
    assert said / 150 <= 0.09
    assert wrongly / 150 <= 0.05


def test_a_real_difference_is_found_with_its_sign():
    random = np.random.default_rng(6)
    low, high = random.normal(1.0, 0.3, 200), random.normal(1.3, 0.3, 200)
    better = difference(mean("loss", low, higher_is_better=False), mean("loss", high, higher_is_better=False), seed=1)
    assert 0.1 < better.low < better.value < better.high < 0.4 and better.p_value < 0.01
    assert better.value == pytest.approx(high.mean() - low.mean())
    worse = difference(mean("score", low), mean("score", high), seed=1)
    assert worse.high < 0


def test_pairing_sees_what_separate_intervals_do_not():
    random = np.random.default_rng(7)
    hard = random.normal(0, 1, 150)
    first, second = mean("score", hard + 0.1 + random.normal(0, 0.05, 150)), mean("score", hard)
    assert difference(first, second).low > 0
    assert interval(first).low < interval(second).high


def test_same_seed_same_figures_and_blocks_change_nothing(monkeypatch):
    metric = mean("score", np.random.default_rng(8).random(50))
    once = interval(metric, seed=5)
    assert interval(metric, seed=5) == once and interval(metric, seed=6) != once
    monkeypatch.setattr(statistics, "CHUNK_CELLS", 1000)
    assert interval(metric, seed=5) == once


def test_intervals_match_scipy():
    values = np.random.default_rng(9).exponential(1, 200)
    found = interval(mean("score", values), resamples=9000)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=9000, method="BCa", random_state=1).confidence_interval
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.012)


def test_all_right_is_not_certain():
    found = interval(mean("accuracy", np.ones(20)))
    assert found.high == 1 and 0.8 < found.low < 0.9
    same = difference(mean("accuracy", np.ones(20)), mean("accuracy", np.ones(20)))
    assert same.low < 0 == same.value < same.high and same.p_value == 1
    assert interval(mean("score", [0.5, 0.5])) == statistics.Interval(0.5, 0.5, 0.5)


def test_mcnemar_is_the_exact_binomial_test():
    first, second = [1] * 9 + [0] * 1 + [1] * 30, [0] * 9 + [1] * 1 + [1] * 30
    assert mcnemar(first, second) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar([1, 0], [1, 0]) == 1
    assert difference(mean("accuracy", first), mean("accuracy", second)).p_value == mcnemar(first, second)


def test_randomisation_agrees_with_scipy_on_a_mean():
    random = np.random.default_rng(10)
    first, second = random.normal(0.25, 1, 40), random.normal(0, 1, 40)
    oracle = stats.permutation_test((first, second), lambda a, b: a.mean() - b.mean(), permutation_type="samples", n_resamples=4000, rng=1)
    assert randomisation(mean("score", first), mean("score", second), rounds=4000) == pytest.approx(oracle.pvalue, abs=0.03)


def test_three_rows_prove_nothing():
    found = difference(mean("score", [0.9, 0.8, 0.95]), mean("score", [0.1, 0.2, 0.15]))
    assert found.low > 0 and found.p_value > 0.05


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


def test_detectable_by_hand_and_by_simulation():
    assert detectable_before(1000, disagreement=0.2) == pytest.approx((1.959964 + 0.841621) * np.sqrt(0.2 / 1000), rel=1e-6)
    assert detectable_before(100, standard_deviation=0.5) == pytest.approx(2.801585 * 0.05, rel=1e-6)
    assert rows_needed(detectable_before(500) * 1.0001) == 500
    random = np.random.default_rng(11)
    effect, found = detectable_before(400, standard_deviation=1.0), 0
    for trial in range(300):
        found += difference(mean("score", random.normal(effect, 1, 400)), mean("score", np.zeros(400)), resamples=300, seed=trial).low > 0
    assert 0.7 <= found / 300 <= 0.9


def test_the_announcement_before_training():
    assert announcement(3080).startswith("3,080 test rows can show a difference of 2.3 points or more")
    assert "would show 5 points" in announcement(100) and "would show" not in announcement(3080)
    assert announcement(3).startswith("3 test rows can show next to nothing")
    assert announcement(1).startswith("1 test row ")


def test_not_the_same_figure_is_refused():
    with pytest.raises(ValueError, match="not the same figure"):
        difference(mean("a", [1.0]), mean("b", [1.0]))
    with pytest.raises(ValueError, match="same rows"):
        difference(mean("a", [1.0]), mean("a", [1.0, 2.0]))


def test_infinite_figures_have_no_interval():
    found = interval(perplexity([1e6, 1.0], [1, 1]))
    assert np.isnan(found.low) and found.value == np.inf


@pytest.mark.filterwarnings("error")
def test_two_rows_leave_no_share_to_cut_off_and_no_number_that_is_none():
    found = interval(mean("score", [0.2, 0.9]))
    assert (found.low, found.high) == (0.2, 0.9), "the ends are those of all draws"
