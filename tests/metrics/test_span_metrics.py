"""Spans out of tags as seqeval reads them, its F1 to the last digit on random cases, and the four kinds of error by hand."""
import random

import numpy as np
import pytest
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2

from luthier.metrics.spans import ERRORS, by_type, chunks, errors_of, iob2, scores

IOB = ["O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in ("person", "place", "sum"))]
BIOES = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("person", "place"))]


def random_rows(rng: random.Random, tags, rows=12):
    return [[rng.choice(tags) for _ in range(rng.randint(1, 12))] for _ in range(rows)]


@pytest.mark.parametrize("tags", [IOB, BIOES], ids=["iob", "bioes"])
def test_chunks_are_those_of_seqeval(tags):
    rng = random.Random(1)
    for row in random_rows(rng, tags, 2000):
        assert chunks(row) == [(first, last + 1, kind) for kind, first, last in get_entities(row)]


def test_figures_are_those_of_seqeval_on_a_thousand_random_cases():
    rng = random.Random(2)
    for _ in range(1000):
        wanted, given = random_rows(rng, IOB, 6), []
        for row in wanted:
            given.append([tag if rng.random() < 0.7 else rng.choice(IOB) for tag in row])
        # both sides legal IOB2, so that the strict mode and the lenient one mean the same
        wanted, given = ([iob2(chunks(row), len(row)) for row in side] for side in (wanted, given))
        ours = scores([chunks(row) for row in wanted], [chunks(row) for row in given])
        if not any(tag != "O" for side in (wanted, given) for row in side for tag in row):
            continue
        for name, theirs in (("span_f1", f1_score), ("span_precision", precision_score), ("span_recall", recall_score)):
            assert ours[name].value == pytest.approx(theirs(wanted, given, zero_division=0), abs=1e-12)
    strict = classification_report(wanted, given, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
    for kind, values in by_type([chunks(row) for row in wanted], [chunks(row) for row in given]).items():
        if kind in strict:
            assert (values["f1"], values["wanted"]) == (pytest.approx(strict[kind]["f1-score"]), strict[kind]["support"])


def test_tags_and_spans_go_there_and_back():
    rng = random.Random(3)
    for row in random_rows(rng, IOB, 500):
        legal = iob2(chunks(row), len(row))
        assert chunks(legal) == chunks(row)
    assert iob2(chunks(["I-a", "I-a", "O", "I-b"]), 4) == ["B-a", "I-a", "O", "B-b"], "IOB1 begins a span with I"
    assert iob2(chunks(["a", "a", "O", "b"]), 4) == ["B-a", "I-a", "O", "B-b"], "types alone"
    assert chunks(["U-a", "B-b", "L-b"]) == [(0, 1, "a"), (1, 3, "b")], "BILOU"


@pytest.mark.parametrize(
    "wanted, given, expected",
    [
        ([(0, 2, "a")], [], {"missed": 1}),
        ([], [(0, 2, "a")], {"extra": 1}),
        ([(0, 2, "a")], [(0, 2, "b")], {"type": 1}),
        ([(0, 2, "a")], [(0, 1, "a")], {"boundary": 1}),
        ([(0, 2, "a")], [(1, 3, "b")], {"type": 1}),
        ([(0, 2, "a")], [(0, 1, "a"), (1, 2, "a")], {"boundary": 1, "extra": 1}),
        ([(0, 1, "a"), (1, 2, "a")], [(0, 2, "a")], {"boundary": 1, "missed": 1}),
        ([(0, 1, "a"), (4, 5, "b")], [(0, 1, "a"), (4, 5, "b")], {}),
    ],
)
def test_kinds_of_error(wanted, given, expected):
    assert errors_of(wanted, given) == dict.fromkeys(ERRORS, 0) | expected


def test_errors_add_up():
    rng = random.Random(4)
    for _ in range(300):
        wanted, given = (chunks(row) for row in random_rows(rng, IOB, 2))
        found, right = errors_of(wanted, given), len(set(wanted) & set(given))
        assert found["missed"] + found["type"] + found["boundary"] == len(wanted) - right
        assert found["extra"] + found["type"] + found["boundary"] == len(given) - right


def test_a_resample_is_the_figure_of_the_chosen_rows():
    rng = random.Random(5)
    wanted, given = ([chunks(row) for row in random_rows(rng, IOB, 20)] for _ in range(2))
    whole = scores(wanted, given)
    rows = [rng.randrange(20) for _ in range(20)]
    again = scores([wanted[row] for row in rows], [given[row] for row in rows])
    for name in ("span_f1", "macro_span_f1", "span_recall", "errors_missed"):
        assert whole[name].recompute(rows) == pytest.approx(again[name].value)
    counts = np.bincount(rows, minlength=20)[None].astype(float)
    assert whole["span_f1"].resample(counts)[0] == pytest.approx(again["span_f1"].value)
