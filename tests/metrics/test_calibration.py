"""Calibration, sets of labels and numbers against scikit-learn and scipy, and by hand."""
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, hamming_loss, mean_absolute_error, r2_score, root_mean_squared_error

from luthier.metrics import calibration, multilabel, numbers


def test_ece_by_hand():
    found = calibration.ece([0.95, 0.95, 0.55, 0.55], [1, 1, 1, 0])
    assert found.value == pytest.approx((abs(2 - 1.9) + abs(1 - 1.1)) / 4) and not found.higher_is_better
    assert found.recompute([0, 0]) == pytest.approx(0.05)
    assert calibration.ece([0.5] * 10, [1, 0] * 5).value == pytest.approx(0)


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 5)) * 3
    shares = np.exp(logits / true)
    target = (shares / shares.sum(1, keepdims=True)).cumsum(1).__gt__(rng.random((20000, 1))).argmax(1)
    assert calibration.fit_temperature(logits, target) == pytest.approx(true, rel=0.05)
    wanted = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits / true))).astype(float)
    assert calibration.fit_sigmoid_temperature(logits, wanted) == pytest.approx(true, rel=0.05)


def test_a_fitted_temperature_lowers_the_error_of_who_is_too_sure():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(5000, 4))
    target = np.array([rng.choice(4, p=np.exp(row) / np.exp(row).sum()) for row in logits])
    too_sure = logits * 4

    def error(temperature):
        shares = np.exp(too_sure / temperature)
        shares /= shares.sum(1, keepdims=True)
        return calibration.ece(shares.max(1), shares.argmax(1) == target).value

    assert error(1.0) > 0.2 > 0.03 > error(calibration.fit_temperature(too_sure, target))


def test_the_diagram_counts_every_row_once():
    rng = np.random.default_rng(2)
    sure = rng.random(500)
    bins = calibration.diagram(sure, rng.random(500) < sure)
    assert sum(each["rows"] for each in bins) == 500 and all(each["low"] <= each["confidence"] <= each["high"] for each in bins)
    assert calibration.diagram([1.0], [1])[0]["high"] == 1.0


def test_sets_equal_scikit_learn():
    rng = np.random.default_rng(3)
    names = list("abcd")
    for _ in range(50):
        target, answer = rng.random((20, 4)) < 0.4, rng.random((20, 4)) < 0.4
        as_sets = [[[names[at] for at in np.flatnonzero(row)] for row in side] for side in (target, answer)]
        found = multilabel.scores(*as_sets)
        present = target.any(0)
        assert found["micro_f1"].value == pytest.approx(f1_score(target, answer, average="micro", zero_division=0))
        assert found["macro_f1"].value == pytest.approx(f1_score(target[:, present], answer[:, present], average="macro", zero_division=0))
        assert found["exact_sets"].value == pytest.approx((target == answer).all(1).mean())
        if (target | answer).any(0).all():
            assert found["hamming_loss"].value == pytest.approx(hamming_loss(target, answer))
    assert multilabel.scores([[]], [[]])["exact_sets"].value == 1


def test_numbers_equal_the_libraries():
    rng = np.random.default_rng(4)
    for _ in range(50):
        target, answer = rng.normal(size=30).round(1), rng.normal(size=30).round(1)
        found = numbers.scores(target, answer, [(value - 1.05, value + 1.05) for value in answer])
        assert found["mae"].value == pytest.approx(mean_absolute_error(target, answer))
        assert found["rmse"].value == pytest.approx(root_mean_squared_error(target, answer))
        assert found["spearman"].value == pytest.approx(spearmanr(target, answer).statistic)
        assert found["r2"].value == pytest.approx(r2_score(target, answer))
        assert found["coverage"].value == pytest.approx((np.abs(target - answer) <= 1.05).mean())
        rows = rng.integers(0, 30, 30)
        assert found["rmse"].recompute(rows) == pytest.approx(root_mean_squared_error(target[rows], answer[rows]))
        assert found["r2"].recompute(rows) == pytest.approx(r2_score(target[rows], answer[rows]))
    assert numbers.scores([1, 2, 3], [5, 5, 5])["spearman"].value == 0
