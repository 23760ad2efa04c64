"""A forecast from half of the data holds what happens with all of it as often as it says."""
import numpy as np
import pytest

from luthier.evaluation.learning_curve import Pilot, forecast, worth


def trial(number, *, noise=0.01):
    """Pilots at 10, 25 and 50 % of a true power law, measured with noise; whether the band at 100 % holds the figure measured there."""
    random = np.random.default_rng(number)
    floor, height, exponent, rows = random.uniform(0.05, 0.3), random.uniform(0.3, 0.6), random.uniform(0.2, 1.0), int(random.integers(400, 4000))

    def truth(n):
        return 1 - floor - height * (n / (0.1 * rows)) ** -exponent

    pilots = [Pilot(n, truth(n) + noise * random.standard_normal(), noise) for n in (int(0.1 * rows), int(0.25 * rows), int(0.5 * rows))]
    found = forecast(pilots, [rows], seed=number)[0]
    return found.low <= truth(rows) + noise * random.standard_normal() <= found.high, found, truth(rows)


def test_the_80_percent_band_holds_the_truth():
    held = [trial(number)[0] for number in range(60)]
    assert 0.7 <= np.mean(held) <= 0.97


def test_the_band_says_something():
    widths = [found.high - found.low for _, found, _ in (trial(number) for number in range(20))]
    assert np.median(widths) < 0.12
    errors = [abs(found.value - truth) for _, found, truth in (trial(number) for number in range(20))]
    assert np.median(errors) < 0.03


def test_lower_is_better_and_a_flat_curve_is_flat():
    falling = [Pilot(n, 1 + 10 / n**0.5, 0.01) for n in (100, 250, 500)]
    found = forecast(falling, [1000], higher_is_better=False)[0]
    assert found.low < 1 + 10 / 1000**0.5 < found.high and found.value < falling[-1].value
    flat = [Pilot(n, 0.8, 0.002) for n in (100, 250, 500)]
    gain, half = worth(flat, 500, 500)
    assert abs(gain) < 0.01 and half < 0.02
    steep = [Pilot(100, 0.5, 0.002), Pilot(250, 0.65, 0.002), Pilot(500, 0.74, 0.002)]
    gain, half = worth(steep, 500, 500)
    assert gain > 0.03 and gain > half


def test_one_size_is_no_curve():
    with pytest.raises(ValueError, match="two sizes"):
        forecast([Pilot(100, 0.5, 0.01)] * 2, [200])
