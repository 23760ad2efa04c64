"""Intervals over several seeds and over groups of rows cover the truth, and would not without what they add."""
import numpy as np
import pytest

from luthier.evaluation.seeds import mean_of, widened
from luthier.evaluation.statistics import clustered, difference, interval
from luthier.metrics.classification import scores
from luthier.metrics.metric import mean


def seeded(trial, *, spread, widen=True):
    """Whether the interval of a difference over three trainings holds its truth, 0.1."""
    random = np.random.default_rng(trial)
    base = random.normal(0.5, 0.3, 80)
    tuned = [mean("score", base + 0.1 + random.normal(0, spread) + random.normal(0, 0.1, 80)) for _ in range(3)]
    found = difference(mean_of(tuned), mean_of([mean("score", base)] * 3), resamples=300, seed=trial)
    if widen:
        found = widened(found, [one.value for one in tuned], 80, found.standard_error, 0.95)
    return found.low <= 0.1 <= found.high


def grouped(trial, *, cluster=True):
    random = np.random.default_rng(trial)
    group = np.repeat(np.arange(40), 5)
    metric = mean("score", 0.3 + random.normal(0, 0.2, 40)[group] + random.normal(0, 0.1, 200))
    found = interval(clustered(metric, group) if cluster else metric, resamples=300, seed=trial)
    return found.low <= 0.3 <= found.high


def test_intervals_over_seeds_cover():
    assert 0.90 <= np.mean([seeded(trial, spread=0.05) for trial in range(200)]) <= 0.99
    assert np.mean([seeded(trial, spread=0.05, widen=False) for trial in range(100)]) < 0.8, "without the spread between seeds they are too sure"


def test_intervals_over_groups_cover():
    assert 0.91 <= np.mean([grouped(trial) for trial in range(200)]) <= 0.985
    assert np.mean([grouped(trial, cluster=False) for trial in range(100)]) < 0.85, "rows of one group are no independent witnesses"


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["mean", "f1", "seeds", "groups"])
def test_95_percent_intervals_cover_93_to_97_percent_of_2000_truths(kind, capsys):
    skill = np.linspace(0.5, 0.95, 6)

    def f1(trial):
        random = np.random.default_rng(trial)
        target = random.integers(0, 6, 300)
        answer = np.where(random.random(300) < skill[target], target, random.integers(0, 6, 300))
        found = interval(scores([str(t) for t in target], [str(a) for a in answer])["macro_f1"], resamples=1000, seed=trial)
        return found.low <= truth <= found.high

    def plain(trial):
        found = interval(mean("score", np.random.default_rng(trial).exponential(1, 60)), resamples=1000, seed=trial)
        return found.low <= 1 <= found.high

    random = np.random.default_rng(10**6)
    target = random.integers(0, 6, 400_000)
    truth = scores([str(t) for t in target], [str(a) for a in np.where(random.random(400_000) < skill[target], target, random.integers(0, 6, 400_000))])["macro_f1"].value
    trial = {"mean": plain, "f1": f1, "seeds": lambda at: seeded(at, spread=0.05), "groups": grouped}[kind]
    covered = np.mean([trial(at) for at in range(2000)])
    with capsys.disabled():
        print(f"\n{kind}: {covered:.4f} of 2,000")
    assert 0.93 <= covered <= 0.97


def test_clusters_by_hand():
    metric = mean("score", [1.0, 0.0, 1.0, 1.0])
    found = clustered(metric, ["a", "a", "b", None])
    assert len(found) == 3 and found.value == metric.value and list(found.per_row) == [0.5, 1.0, 1.0]
    assert found.parts_NS.tolist() == [[1, 2], [1, 1], [1, 1]]
    assert clustered(metric, [None] * 4) is metric
    with pytest.raises(ValueError, match="groups"):
        clustered(metric, ["a"])


def test_mean_of_seeds_by_hand():
    both = mean_of([mean("score", [1.0, 0.0]), mean("score", [1.0, 1.0])])
    assert both.value == 0.75 and both.recompute([0, 0]) == 1.0 and both.recompute([1]) == 0.5
    with pytest.raises(ValueError, match="same figure"):
        mean_of([mean("a", [1.0]), mean("b", [1.0])])
