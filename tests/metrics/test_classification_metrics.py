"""Label figures: worked by hand, equal to scikit-learn, also on resamples."""
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from luthier.metrics.classification import NO_LABEL, confusion, scores

LABELS = ["ask", "buy", "complain", "repair"]
rows = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40)


def test_worked_by_hand():
    # ask: tp 2, support 3, predicted 2; buy: tp 1, support 1, predicted 3
    metrics = scores(["ask", "ask", "ask", "buy"], ["ask", "ask", "buy", "buy"])
    assert metrics["accuracy"].value == 3 / 4
    assert metrics["macro_precision"].value == pytest.approx((1 + 1 / 2) / 2)
    assert metrics["macro_recall"].value == pytest.approx((2 / 3 + 1) / 2)
    assert metrics["macro_f1"].value == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert metrics["weighted_f1"].value == pytest.approx((3 * 4 / 5 + 1 * 2 / 3) / 4)
    assert metrics["macro_f1"].per_row.tolist() == [1, 1, 0, 1]


def test_an_answer_that_is_no_label_is_wrong_and_makes_no_new_label():
    metrics = scores(["ask", "buy"], ["ask", None])
    assert metrics["macro_f1"].value == pytest.approx((1 + 0) / 2)
    assert scores(["ask", "buy"], ["ask", "a poem"])["macro_f1"].value == metrics["macro_f1"].value


def oracle(name, targets, answers):
    if name == "accuracy":
        return accuracy_score(targets, answers)
    average, kind = name.split("_")
    function = {"precision": precision_score, "recall": recall_score, "f1": f1_score}[kind]
    return function(targets, answers, labels=sorted(set(targets)), average=average, zero_division=0)


@given(rows, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_equals_scikit_learn_on_all_rows_and_on_resamples(pairs, seed):
    targets, answers = map(list, zip(*pairs))
    drawn = np.random.default_rng(seed).integers(0, len(pairs), len(pairs))
    counts = np.bincount(drawn, minlength=len(pairs))[None, :]
    for name, metric in scores(targets, answers).items():
        assert metric.value == pytest.approx(oracle(name, targets, answers))
        expected = oracle(name, [targets[i] for i in drawn], [answers[i] for i in drawn])
        assert metric.resample(counts)[0] == pytest.approx(expected, abs=1e-6)
        assert metric.recompute(drawn) == pytest.approx(expected, abs=1e-6)


@given(rows)
@settings(max_examples=30, deadline=None)
def test_confusion_equals_scikit_learn(pairs):
    targets, answers = map(list, zip(*pairs))
    labels, counts = confusion(targets, answers)
    assert (counts == confusion_matrix(targets, answers, labels=labels)).all()


def test_confusion_puts_no_label_last():
    labels, counts = confusion(["b", "a", "a"], ["b", None, "c"])
    assert labels == ["a", "b", "c", NO_LABEL]
    assert counts.tolist() == [[0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_two_thousand_resamples_of_77_labels_are_quick():
    random = np.random.default_rng(0)
    targets = [f"label {i}" for i in random.integers(0, 77, 3080)]
    answers = [t if keep else f"label {i}" for t, keep, i in zip(targets, random.random(3080) < 0.85, random.integers(0, 77, 3080))]
    metric = scores(targets, answers)["macro_f1"]
    counts = np.stack([np.bincount(random.integers(0, 3080, 3080), minlength=3080) for _ in range(250)]).astype(np.float32)
    started = time.perf_counter()
    for _ in range(8):
        values = metric.resample(counts)
    assert time.perf_counter() - started < 10
    assert abs(values.mean() - metric.value) < 0.01 and 0.002 < values.std() < 0.02


@pytest.mark.parametrize("targets, answers", [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_rows_must_agree(targets, answers):
    with pytest.raises(ValueError, match="lengths"):
        scores(targets, answers)
