"""A column of weights: read strictly, kept on disk, and heeded token by token or row by row."""
import json

import numpy as np
import pytest

from luthier.data.canonical import from_dict, to_json
from luthier.data.dataset import build
from luthier.data.fixes import balance
from luthier.data.records import Labelled
from luthier.data.settings import DataSettings
from luthier.errors import RecipeError
from luthier.preparation.cache import weighed
from luthier.preparation.examples import example


def rows(count: int = 40) -> list[dict]:
    return [{"text": f"row number {at} says something", "label": "ab"[at % 2], "w": 1 + at % 3} for at in range(count)]


def written(file, some, name="rows.jsonl") -> str:
    return file(name, "".join(json.dumps(row) + "\n" for row in some))


def test_weights_are_read_and_stand_on_disk(file, tmp_path):
    data = build(DataSettings(train=written(file, rows()), row_weight="w"), folder=tmp_path / "data", strict=False)
    found = {record.origin.row: record.weight for split in ("train", "validation", "test") for record in data.iterate(split)}
    assert found == {at + 1: float(1 + at % 3) for at in range(40)}
    plain = build(DataSettings(train=written(file, rows())), folder=tmp_path / "plain", strict=False)
    assert {record.weight for record in plain.iterate("train")} == {1.0} and plain.fingerprint != data.fingerprint
    assert from_dict(json.loads(to_json(Labelled("a", "b", weight=0.25))), Labelled).weight == 0.25


@pytest.mark.parametrize("value, code", [(None, "D115"), ("", "D115"), (0, "D116"), (-1, "D116"), ("much", "D116"), (True, "D116"), ("inf", "D116")])
def test_a_weight_that_is_none_is_told_with_its_row(file, tmp_path, value, code):
    some = rows()
    some[6]["w"] = value
    data = build(DataSettings(train=written(file, some), row_weight="w"), folder=tmp_path / "data", strict=False)
    [error] = [one for one in data.findings if one["level"] == "error"]
    assert (error["code"], error["rows"], error["field"]) == (code, [7], "w")


def test_a_missing_column_is_told_and_a_test_file_needs_none(file, tmp_path):
    data = build(DataSettings(train=written(file, rows()), row_weight="weigth"), folder=tmp_path / "data", strict=False)
    assert any(one["code"] == "D115" and "data.row_weight" in one["message"] for one in data.findings)
    tested = [{"text": f"tested row {at}", "label": "ab"[at % 2]} for at in range(20)]
    data = build(DataSettings(train=written(file, rows()), test=written(file, tested, "test.jsonl"), row_weight="w"), folder=tmp_path / "other", strict=False)
    assert data.count("test") == 20 and not [one for one in data.findings if one["level"] == "error"]


def test_pairs_and_prompts_have_no_weights(file, tmp_path):
    pairs = [{"prompt": f"question {at}", "chosen": f"good {at}", "rejected": f"poor {at}", "w": 1} for at in range(20)]
    with pytest.raises(RecipeError) as told:
        build(DataSettings(train=written(file, pairs), row_weight="w"), folder=tmp_path / "data", strict=False)
    assert told.value.code == "R146"


def test_weights_multiply_tokens_or_rows():
    tokens = weighed(example([5, 6, 7], [0.0, 1.0, 0.5]), 3.0)
    assert tokens.weights.tolist() == [0.0, 3.0, 1.5] and tokens.share == 1.0
    row = weighed(example([5, 6, 7], label=1, share=2.0), 3.0)
    assert row.share == 6.0 and not row.weights.any()
    same = example([5, 6], [0.0, 1.0])
    assert weighed(same, 1.0) is same


def test_weights_of_independence_close_the_gap_and_keep_the_labels():
    rng = np.random.default_rng(0)
    women, old = rng.random(2000) < 0.3, rng.random(2000) < 0.2
    label_N = (rng.random(2000) < np.where(women, 0.7, 0.3) + np.where(old, 0.15, 0)).astype(np.int64)
    label_N[::50] = -1
    slices = {"women": np.flatnonzero(women), "old": np.flatnonzero(old), "few": np.arange(5)}
    weight_N = balance.weights(label_N, slices, 2)
    before, after = balance.gap(label_N, slices, 2), balance.gap(label_N, slices, 2, weight_N)
    assert before[0] > 0.3 and before[1] == "women" and after[0] < 0.01
    for label in (0, 1):
        assert weight_N[label_N == label].sum() == pytest.approx((label_N == label).sum(), rel=0.02)
    assert weight_N.min() >= 0.1 and weight_N.max() <= 10 and (weight_N[label_N < 0] == 1).all()
    assert (balance.weights(label_N, {}, 2) == 1).all()
