"""Pairs: summaries and translations in their usual spellings, and a direction that data.map turns round."""
import json

import pytest

from luthier.data import samples
from luthier.data.canonical import from_dict, to_json
from luthier.data.dataset import build
from luthier.data.findings import Finding
from luthier.data.records import Conversation, Labelled, Pair
from luthier.data.settings import DataSettings
from luthier.data.sources.rows import Row
from luthier.data.spellings import convert, guess, mapping_from


def row_of(values):
    return Row(values, 1, None, 1, "a.jsonl")


SPELLINGS = [
    {"source": "hello there", "target": "hallo"},
    {"document": "hello there", "summary": "hallo"},
    {"article": "hello there", "highlights": "hallo"},
    {"dialogue": "hello there", "summary": "hallo"},
    {"translation": {"en": "hello there", "de": "hallo"}},
    {"original_text": "hello there", "reference_summary": "hallo", "uid": "7"},
]


@pytest.mark.parametrize("values", SPELLINGS, ids=lambda values: "-".join(values))
def test_spellings(values):
    mapping = guess([row_of(values)], "a.jsonl")
    record = convert(row_of(values), mapping)
    assert mapping.task == "seq2seq" and (record.source, record.target) == ("hello there", "hallo"), mapping.sentence
    assert from_dict(json.loads(to_json(record)), Pair) == record


def test_what_is_no_pair_stays_what_it_was():
    for values, kind in (({"input": "hi", "output": "hello"}, Conversation), ({"question": "hi", "answer": "hello"}, Conversation), ({"text": "a long text here", "target": "pos"}, Labelled)):
        assert guess([row_of(values)], "a.jsonl").record is kind


def test_a_named_task_reads_what_it_needs():
    values = {"input": "hello there", "output": "hallo"}
    record = convert(row_of(values), guess([row_of(values)], "a.jsonl", task="seq2seq"))
    assert record == Pair("hello there", "hallo", record.origin)


def test_the_direction_of_a_translation_is_turned_by_the_map():
    values = {"translation": {"en": "hello", "de": "hallo"}}
    mapping = mapping_from({"source": "translation.de", "target": "translation.en"}, "seq2seq", ["translation"], sample=[row_of(values)])
    record = convert(row_of(values), mapping)
    assert (record.source, record.target) == ("hallo", "hello")


def test_empty_targets_are_told(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"source": f"a text {number}", "target": " " if number == 3 else "t"}) + "\n" for number in range(20)))
    data = build(DataSettings(train=str(path)), folder=tmp_path / "data", strict=False)
    assert [(finding["code"], finding["rows"]) for finding in data.errors()] == [("D110", [4])]


def test_the_sample_world_has_summaries(tmp_path):
    path = samples.write(tmp_path / "shop", kind="summaries", rows=200, seed=1)
    data = build(DataSettings(train=str(path)), folder=tmp_path / "data")
    assert data.ok and data.mapping["task"] == "seq2seq" and sum(data.count(split) for split in ("train", "validation", "test")) == 200
    assert samples.generate("summaries", rows=50, seed=1) == samples.generate("summaries", rows=50, seed=1) != samples.generate("summaries", rows=50, seed=2)
    for row in samples.generate("summaries", rows=300, seed=1):
        for field in ("order", "instrument", "name"):
            assert field not in row["slots"] or row["slots"][field] in row["target"], "what the letter names, the line names"


def test_the_sample_world_has_numbers_that_words_tell(tmp_path):
    """The number is that of label and slots, and a linear model over words finds part of it but not all."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    path = samples.write(tmp_path / "shop", kind="priorities", rows=400, seed=1)
    data = build(DataSettings(train=str(path)), task="regression", folder=tmp_path / "data")
    records = data.records("train") + data.records("validation") + data.records("test")
    assert data.ok and len(records) == 400 and {record.value for record in records} <= {float(number) for number in range(1, 11)}
    vectors, values = TfidfVectorizer().fit_transform([record.text for record in records]), [record.value for record in records]
    off = abs(Ridge().fit(vectors[:300], values[:300]).predict(vectors[300:]) - values[300:]).mean()
    plain = sum(abs(value - sum(values[:300]) / 300) for value in values[300:]) / 100
    assert off < 0.75 * plain and off > 0.1


def test_wrong_values_have_their_place():
    values = {"source": "hello", "target": 5}
    found = convert(row_of(values), guess([row_of({"source": "a", "target": "b"})], "a.jsonl"))
    assert type(found) is Finding and (found.code, found.field) == ("D116", "target")
