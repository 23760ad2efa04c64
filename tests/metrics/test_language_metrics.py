"""Perplexity and bits, worked by hand."""
import numpy as np
import pytest

from luthier.metrics.language import bits_per_byte, bits_per_character, perplexity
from luthier.metrics.metric import from_parts, mean, ratio


def test_perplexity_of_a_fair_choice_is_its_size():
    metric = perplexity([3 * np.log(8), 1 * np.log(8)], [3, 1])
    assert metric.value == pytest.approx(8) and metric.per_row == pytest.approx([8, 8]) and not metric.higher_is_better


def test_perplexity_is_per_token_not_per_row():
    metric = perplexity([9 * np.log(2), np.log(32)], [9, 1])
    assert metric.value == pytest.approx(2 ** ((9 + 5) / 10))
    assert metric.resample(np.array([[0, 2]]))[0] == pytest.approx(32)


def test_bits_per_character_and_byte():
    nats = [6 * np.log(2)]
    assert bits_per_character(nats, [3]).value == pytest.approx(2)
    assert bits_per_byte(nats, [len("süß".encode())]).value == pytest.approx(6 / 5)


def test_overflow_is_infinite_and_nothing_to_measure_is_an_error():
    assert perplexity([1e6], [1]).value == np.inf
    with pytest.raises(ValueError, match="no token"):
        perplexity([0.0], [0])


def test_a_mean_and_its_resamples():
    metric = mean("score", [0.0, 1.0, 0.5])
    assert metric.value == 0.5 and len(metric) == 3
    assert metric.resample(np.array([[3, 0, 0], [1, 1, 1]])).tolist() == [0, 0.5]
    assert metric.recompute([1, 1]) == 1
    with pytest.raises(ValueError):
        from_parts("none", np.zeros((0, 2)), ratio, per_row=np.zeros(0))
