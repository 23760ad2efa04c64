"""Several labels, pairs of texts and numbers: their spellings, and what is wrong with a value."""
import json

import pytest

from luthier.data.canonical import from_dict, to_json
from luthier.data.dataset import build
from luthier.data.findings import Finding
from luthier.data.records import Labelled, MultiLabelled, Scored
from luthier.data.settings import DataSettings
from luthier.data.sources.rows import Row
from luthier.data.spellings import convert, guess


def row_of(values, number=1):
    return Row(values, number, None, number, "a.jsonl")


def record_of(values, **wanted):
    mapping = guess([row_of(values)], "a.jsonl", **wanted)
    return mapping, convert(row_of(values), mapping)


PAIRS = [
    {"text": "a", "text_pair": "b", "label": "same"},
    {"sentence1": "a", "sentence2": "b", "label": "same"},
    {"premise": "a", "hypothesis": "b", "label": "same"},
    {"question1": "a", "question2": "b", "label": "same"},
]


@pytest.mark.parametrize("values", PAIRS, ids=lambda values: "-".join(values))
def test_pairs_with_a_label(values):
    mapping, record = record_of(values)
    assert mapping.task == "classification" and record == Labelled("a", "same", record.origin, None, "b")
    assert from_dict(json.loads(to_json(record)), Labelled) == record


@pytest.mark.parametrize("value", [["drama", "war"], '["drama", "war"]', "drama | war", "war;drama"])
def test_several_labels(value):
    wanted = {} if isinstance(value, list) else {"record": MultiLabelled}
    mapping, record = record_of({"text": "a long text", "labels": value}, **wanted)
    assert mapping.settings == {"many": True} and mapping.task == "classification"
    assert record == MultiLabelled("a long text", ("drama", "war"), record.origin) and record.label == "drama | war"
    assert from_dict(json.loads(to_json(record)), MultiLabelled) == record


def test_no_label_at_all_is_an_answer_too():
    _, record = record_of({"text": "a", "labels": []}, record=MultiLabelled)
    assert record.labels == ()


def test_one_label_a_row_stays_one():
    for values in ({"text": "t", "labels": "l"}, {"text": "t", "labels": ["l"]}, {"text": "t", "label": ["l"]}):
        assert type(record_of(values)[1]) is Labelled


def test_several_where_one_is_wanted_names_the_setting():
    found = convert(row_of({"text": "t", "label": ["a", "b"]}), guess([row_of({"text": "t", "label": "l"})] * 5, "a.jsonl"))
    assert (found.code, "task.many" in found.hint) == ("D116", True)


def test_a_label_with_the_sign_between_labels_is_refused():
    found = record_of({"text": "t", "labels": ["a | b", "c"]})[1]
    assert type(found) is Finding and found.code == "D116"


@pytest.mark.parametrize("values", [{"text": "a", "score": 3.5}, {"sentence1": "a", "sentence2": "b", "score": "3.5"}, {"review": "a", "text": "b", "stars": 3.5}])
def test_numbers(values):
    mapping, record = record_of(values, task="regression")
    assert mapping.record is Scored and record.value == 3.5 and (record.pair == "b") == ("sentence2" in values)
    assert from_dict(json.loads(to_json(record)), Scored) == record


@pytest.mark.parametrize("value", ["high", None, True, "nan", "1e999", [1]])
def test_what_is_no_number(value):
    good = guess([row_of({"text": "a", "score": 1.0})], "a.jsonl", task="regression")
    assert type(convert(row_of({"text": "a", "score": value}), good)) is Finding


def test_a_data_set_of_several_labels(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {number}", "labels": [["a"], ["a", "b"], []][number % 3]}) + "\n" for number in range(60)))
    data = build(DataSettings(train=str(path)), folder=tmp_path / "data")
    assert data.labels == ["a", "b"] and data.ok
    pairs = tmp_path / "b.csv"
    pairs.write_text("sentence1,sentence2,label\n" + "".join(f"one {number},two {number % 7},{number % 2}\n" for number in range(60)))
    data = build(DataSettings(train=str(pairs)), folder=tmp_path / "pairs")
    assert data.labels == ["0", "1"] and all(record.pair for record in data.records("train"))
