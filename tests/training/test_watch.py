"""The watcher raises its alarms on what goes wrong, NaN above all, and leaves calm runs alone."""
import math
from dataclasses import dataclass

import numpy as np
import pytest

from luthier.training.watch import Watch


@dataclass
class Step:
    number: int
    loss: float
    finite: bool = True
    gradient_norm: float = 1.0
    rows: tuple = (0,)


def codes(watch: Watch, losses) -> list[str]:
    return [event.data["code"] for number, loss in enumerate(losses, 1) for event in watch.step(Step(number, loss, math.isfinite(loss)))]


def test_a_spike_is_told_within_its_step():
    calm = [3.0 - 0.01 * number for number in range(30)]
    for factor in (10, 100):
        assert codes(Watch(), [*calm, factor * calm[-1]]) == ["T203"]


def test_calm_runs_raise_no_alarm(record_property):
    """False alarms over ten runs of two thousand noisy steps each."""
    false = 0
    for seed in range(10):
        noise = np.random.default_rng(seed)
        losses = 0.5 + 3.5 * np.exp(-np.arange(2000) / 400) * noise.lognormal(0, 0.15, 2000)
        false += len(codes(Watch(), losses.tolist()))
    record_property("figure", ("D-5", "alarms on calm noisy runs", f"{false} in 20,000 steps"))
    assert false <= 2


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_passes_a_comparison(bad):
    watch = Watch(max_nonfinite=3)
    assert codes(watch, [2.0, bad, 2.0, bad, bad]) == ["T101"] * 3, "counted in a row"
    assert watch.look(5, bad, 2.0, 10)[0].data["code"] == "T101"


def test_a_watcher_that_compares_the_other_way_round_would_miss_nan():
    """Negative control: `loss > limit` is False for NaN, which is why no comparison here is written so."""
    assert not math.nan > 3.0 and not (math.nan <= 3.0)


def test_overfitting_and_no_learning_are_told_once():
    watch = Watch()
    told = []
    for step, (train, validation) in enumerate(((2.0, 1.9), (1.5, 1.7), (1.2, 1.8), (1.0, 1.9), (0.8, 2.0)), 1):
        watch.train_since_look = [train]
        told += [event.data["code"] for event in watch.look(10 * step, validation, 3.0, 50)]
    assert told == ["T201"]
    still = Watch()
    assert [event.data["code"] for step in (10, 30, 40) for event in still.look(step, 2.999, 3.0, 50)] == ["T202"]
