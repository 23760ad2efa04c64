"""What a test set can show, told before tuning, is about what it turns out to show."""
import numpy as np
import pytest

from luthier.evaluation.planning import minimum_detectable
from luthier.evaluation.statistics import detectable, difference
from luthier.metrics.metric import mean


def drawn(seed, size=400):
    return mean("score", np.random.default_rng(seed).normal(0.5, 0.2, size))


def test_it_foretells_the_spread_of_the_real_difference():
    foretold = minimum_detectable([drawn(1), drawn(2), drawn(3)])
    assert foretold == pytest.approx(detectable(difference(drawn(4), drawn(5)).standard_error), rel=0.2)
    assert minimum_detectable([drawn(1)]) == pytest.approx(foretold, rel=0.2)


def test_more_rows_show_less():
    assert minimum_detectable([drawn(1, 1600), drawn(2, 1600)]) == pytest.approx(minimum_detectable([drawn(1), drawn(2)]) / 2, rel=0.2)


def test_nothing_known_and_nothing_different():
    assert minimum_detectable([]) is None and minimum_detectable([mean("score", [np.nan])]) is None
    assert minimum_detectable([mean("score", np.ones(100))] * 2) == pytest.approx(0.125, abs=0.01)
