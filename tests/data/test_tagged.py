"""Tagged texts: every spelling gives the same spans to the character, CoNLL is read line by line, and what is wrong has its own code."""
import json

import pytest

from luthier.data import samples, sources
from luthier.data.canonical import from_dict, to_json
from luthier.data.checks.cut_words import check as cut_words
from luthier.data.dataset import build
from luthier.data.findings import Finding
from luthier.data.records import Span, Tagged
from luthier.data.settings import DataSettings
from luthier.data.sources.rows import Row
from luthier.data.spellings import convert, guess
from luthier.data.words import spans_of, words_of
from luthier.errors import DataError

TEXT = "Ada Lovelace moved to Turin ."
WORDS = TEXT.split()
SPANS = [Span(0, 12, "person"), Span(22, 27, "place")]
PLACES = [{"start": 0, "end": 12, "label": "person"}, {"start": 22, "end": 27, "label": "place"}]

SPELLINGS = {
    "iob2": {"tokens": WORDS, "ner_tags": ["B-person", "I-person", "O", "O", "B-place", "O"]},
    "iob1": {"words": WORDS, "tags": ["I-person", "I-person", "O", "O", "I-place", "O"]},
    "bioes": {"tokens": WORDS, "labels": ["B-person", "E-person", "O", "O", "S-place", "O"]},
    "bilou": {"tokens": WORDS, "labels": ["B-person", "L-person", "O", "O", "U-place", "O"]},
    "types alone": {"tokens": WORDS, "tags": ["person", "person", "O", "O", "place", "O"]},
    "json in a cell": {"tokens": json.dumps(WORDS), "ner_tags": json.dumps(["B-person", "I-person", "O", "O", "B-place", "O"])},
    "python in a cell": {"tokens": str(WORDS), "ner_tags": str(["B-person", "I-person", "O", "O", "B-place", "O"])},
    "words between spaces": {"tokens": TEXT, "ner_tags": "B-person I-person O O B-place O"},
    "spans": {"text": TEXT, "spans": PLACES},
    "spans as triples": {"text": TEXT, "entities": [[0, 12, "person"], [22, 27, "place"]]},
    "spans in a cell": {"text": TEXT, "spans": json.dumps(PLACES)},
    "label studio": {"text": TEXT, "spans": [{"start": 0, "end": 12, "labels": ["person"]}, {"start": 22, "end": 27, "labels": ["place"]}]},
    "presidio": {"full_text": TEXT, "spans": [{"entity_type": "person", "entity_value": "Ada Lovelace", "start_position": 0, "end_position": 12}, {"entity_type": "place", "start_position": 22, "end_position": 27}]},
    "white space at the edges": {"text": TEXT, "spans": [{"start": 0, "end": 13, "label": "person"}, {"start": 21, "end": 27, "label": "place"}]},
}


def row_of(values) -> Row:
    return Row(values, 1, None, 1, "a.jsonl")


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name):
    mapping = guess([row_of(SPELLINGS[name])], "a.jsonl")
    record = convert(row_of(SPELLINGS[name]), mapping)
    assert mapping.task == "token_classification" and type(record) is Tagged, mapping.sentence
    assert (record.text, spans_of(record)) == (TEXT, SPANS)
    assert from_dict(json.loads(to_json(record)), Tagged) == record


def test_class_numbers_need_names():
    values = {"tokens": WORDS, "ner_tags": [1, 2, 0, 0, 3, 0]}
    mapping = guess([row_of(values)], "a.jsonl")
    found = convert(row_of(values), mapping)
    assert type(found) is Finding and found.code == "D342" and "data.labels" in found.hint
    import dataclasses

    named = convert(row_of(values), dataclasses.replace(mapping, names=("O", "B-person", "I-person", "B-place", "I-place")))
    assert spans_of(named) == SPANS


def test_one_class_a_word():
    """Parts of speech: equal neighbours are not one span."""
    values = {"tokens": ["old", "grey", "cat"], "upos": ["ADJ", "ADJ", "NOUN"]}
    record = convert(row_of(values), guess([row_of(values)], "a.jsonl"))
    assert record.tags == ("B-ADJ", "B-ADJ", "B-NOUN")


@pytest.mark.parametrize(
    "values, code",
    [
        ({"tokens": WORDS, "ner_tags": ["O"]}, "D340"),
        ({"tokens": ["a", " "], "ner_tags": ["O", "B-x"]}, "D110"),
        ({"text": TEXT, "spans": [{"start": 22, "end": 99, "label": "place"}]}, "D341"),
        ({"text": TEXT, "spans": [{"start": 3, "end": 3, "label": "place"}]}, "D341"),
        ({"text": TEXT, "spans": [{"start": 0, "end": 12, "label": "a"}, {"start": 4, "end": 12, "label": "b"}]}, "D341"),
        ({"text": "é Turin is far", "spans": [{"start": 3, "end": 8, "label": "place", "text": "Turin"}]}, "D341"),
    ],
)
def test_what_is_wrong(values, code):
    good = {"tokens": WORDS, "ner_tags": ["B-x", *["O"] * 5]} if "tokens" in values else {"text": TEXT, "spans": PLACES}
    found = convert(row_of(values), guess([row_of(good)], "a.jsonl"))
    assert type(found) is Finding and found.code == code and found.hint


def test_a_span_that_cuts_a_word_is_kept_to_the_character_and_told():
    values = {"text": "It weighs 10kg.", "spans": [{"start": 10, "end": 12, "label": "amount"}]}
    record = convert(row_of(values), guess([row_of(values)], "a.jsonl"))
    assert spans_of(record) == [Span(10, 12, "amount")]
    assert cut_words(record).code == "D343"
    whole = {"text": "It weighs 10 kg.", "spans": [{"start": 10, "end": 12, "label": "amount"}]}
    assert cut_words(convert(row_of(whole), guess([row_of(whole)], "a.jsonl"))) is None


def test_words_cover_all_but_white_space():
    for text in ("don't @paulwalk, 10kg!", "東京は 大きい", "a_b\tc\n", "  ", "naïve 2nd"):
        covered = {at for start, end in words_of(text) for at in range(start, end)}
        assert covered == {at for at, sign in enumerate(text) if not sign.isspace()}


CONLL = "-DOCSTART- -X- O O\n\nAda NNP B-NP B-person\nLovelace NNP I-NP I-person\nslept VBD B-VP O\n\n# a word may look like a comment\nTurin NNP B-NP B-place\n"


@pytest.mark.parametrize("name", ["a.conll", "a.iob2", "train.txt", "a.annotated"])
def test_conll_by_name_or_by_content(tmp_path, name):
    path = tmp_path / name
    path.write_text(CONLL.replace("# a word may look like a comment\n", ""))
    rows = list(sources.read(str(path)))
    assert [row.values for row in rows] == [{"tokens": ["Ada", "Lovelace", "slept"], "ner_tags": ["B-person", "I-person", "O"]}, {"tokens": ["Turin"], "ner_tags": ["B-place"]}]
    assert [row.line for row in rows] == [3, 7] and [row.number for row in rows] == [1, 2]


def test_a_broken_line_of_conll_is_told_by_its_place(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("Ada\tB-person\n\nTurin\n\nslept\tO\n")
    found = list(sources.read(str(path)))
    assert [type(item).__name__ for item in found] == ["Row", "Finding", "Row"]
    assert (found[1].code, found[1].line, found[1].rows) == ("D107", 3, [2])


def test_conll_u_reads_parts_of_speech(tmp_path):
    path = tmp_path / "a.conllu"
    path.write_text("# text = vamos al mar\n1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_\n2-3\tal\t_\t_\t_\t_\t_\t_\t_\t_\n2\ta\ta\tADP\t_\t_\t4\tcase\t_\t_\n3\tel\tel\tDET\t_\t_\t4\tdet\t_\t_\n\n")
    assert [row.values for row in sources.read(str(path))] == [{"tokens": ["vamos", "a", "el"], "upos": ["VERB", "ADP", "DET"]}]


def test_a_table_with_tabs_is_no_conll(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n" + "hello there\tgood\n" * 20)
    assert next(iter(sources.read(str(path)))).values == {"text": "hello there", "label": "good"}


def test_class_names_in_parquet_lists(tmp_path):
    import pyarrow
    from pyarrow import parquet

    names = ["O", "B-person", "I-person", "B-place", "I-place"]
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}
    described = json.dumps({"info": {"features": {"tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}, "ner_tags": feature}}})
    table = pyarrow.table({"tokens": [WORDS], "ner_tags": [[1, 2, 0, 0, 3, 0]]}).replace_schema_metadata({"huggingface": described})
    parquet.write_table(table, tmp_path / "a.parquet")
    row = next(iter(sources.read(str(tmp_path / "a.parquet"))))
    assert row.values["ner_tags"] == ["B-person", "I-person", "O", "O", "B-place", "O"]


def test_a_data_set_of_the_sample_world(tmp_path):
    path = samples.write(tmp_path / "shop", kind="entities", rows=300, seed=1)
    data = build(DataSettings(train=str(path)), folder=tmp_path / "data")
    assert data.ok and data.mapping["task"] == "token_classification" and data.labels == ["amount", "day", "instrument", "order", "person"]
    given = {row["text"]: row["spans"] for row in map(json.loads, path.read_text().splitlines())}
    kept = [record for split in ("train", "validation", "test") for record in data.records(split)]
    assert len(kept) == 300
    for record in kept:
        assert [vars(span) for span in spans_of(record)] == given[record.text]


def test_types_that_are_not_allowed_are_told(tmp_path):
    path = samples.write(tmp_path / "shop", kind="entities", rows=60, seed=1)
    with pytest.raises(DataError) as found:
        build(DataSettings(train=str(path), labels=["person"]), folder=tmp_path / "data")
    assert any(finding["code"] == "D306" for finding in found.value.findings)


def test_real_data_is_read_whole(test_data, tmp_path):
    folder = test_data / "token_classification" / "leondz__emerging_entities_17"
    data = build(DataSettings(train=str(folder / "wnut17train.conll"), validation=str(folder / "emerging.dev.conll"), test=str(folder / "emerging.test.annotated")), folder=tmp_path / "data")
    assert data.labels == ["corporation", "creative-work", "group", "location", "person", "product"]
    assert [data.ledger[split].rows_in for split in ("train", "validation", "test")] == [3394, 1009, 1287]
