"""Chat exports, Arrow files, patterns of files; and every kind of record written in a shape of another tool and read back as it was."""
import json
from dataclasses import replace

import pytest

from luthier.data.canonical import RECORDS
from luthier.data.findings import Finding
from luthier.data.records import Message
from luthier.data.shaping import SHAPES, shaped
from luthier.data.sources import locate, read
from luthier.data.sources.rows import Row
from luthier.data.spellings import convert, guess
from luthier.errors import DataError, RecipeError
from luthier.verbs import data as verbs

ASK = [{"role": "user", "content": "hi"}]


def record_of(values: dict, record: type | None = None):
    row = Row(values, 1, None, 1, "a.jsonl")
    return convert(row, guess([row] * 5, "a.jsonl", record=record))


# ---- chat exports ---------------------------------------------------------------------------------
def node(name, parent, role, text, children=(), **metadata):
    return {name: {"id": name, "parent": parent, "children": list(children), "message": role and {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}, "metadata": metadata}}}


TREE = {
    **node("root", None, None, "", ["s"]), **node("s", "root", "system", "hidden words", ["u"], is_visually_hidden_from_conversation=True), **node("u", "s", "user", "how are you?", ["dropped", "kept"]),
    **node("dropped", "u", "assistant", "bad"), **node("kept", "u", "assistant", "good", ["more"]), **node("more", "kept", "assistant", "and well", ["last"]), **node("last", "more", "user", "fine", ["end"]),
    **node("end", "last", "assistant", "bye"),
}


def test_chatgpt_keeps_the_branch_that_was_read_last():
    for last in ({"current_node": "end"}, {}):
        record = record_of({"title": "t", "create_time": 1.0, "mapping": TREE, **last})
        assert record.messages == (Message("user", "how are you?"), Message("assistant", "good\n\nand well"), Message("user", "fine"), Message("assistant", "bye"))
    assert record_of({"mapping": TREE, "current_node": "dropped"}).messages[-1].content == "bad"
    empty = record_of({"mapping": {**node("root", None, None, "")}, "current_node": "root"})
    assert type(empty) is Finding and empty.code == "D118"
    loop = {"a": {"parent": "b", "children": [], "message": None}, "b": {"parent": "a", "children": [], "message": None}}
    assert type(record_of({"mapping": loop, "current_node": "a"})) is Finding


def test_claude_exports():
    turns = [{"sender": "human", "text": "hi"}, {"sender": "assistant", "text": "", "content": [{"type": "text", "text": "hello"}]}]
    assert record_of({"uuid": "x", "chat_messages": turns}).messages == (Message("user", "hi"), Message("assistant", "hello"))
    found = convert(Row({"chat_messages": [{"sender": "robot", "text": "x"}]}, 1, None, 1, "a"), guess([Row({"chat_messages": turns}, 1, None, 1, "a")], "a"))
    assert type(found) is Finding and found.code == "D111" and "robot" in found.message


# ---- files ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_files(tmp_path, kind):
    import pyarrow
    from pyarrow import ipc

    features = json.dumps({"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}})
    table = pyarrow.table({"text": [f"row {at}" for at in range(1500)], "label": [at % 2 for at in range(1500)]}).replace_schema_metadata({"huggingface": features})
    path = tmp_path / "rows.arrow"
    with (ipc.new_file if kind == "file" else ipc.new_stream)(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=700)
    found = list(read(str(path)))
    assert [row.number for row in found] == list(range(1, 1501)) and found[1].values == {"text": "row 1", "label": "yes"}
    path.write_bytes(path.read_bytes()[:300])
    broken = [item for item in read(str(path)) if type(item) is Finding]
    assert [one.code for one in broken] == ["D109"]


def test_patterns_name_files(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("logs/b/2.jsonl", "logs/a/1.jsonl", "logs/a/skip.png", "logs/.h.jsonl"):
        file(name, json.dumps({"text": name}) + "\n")
    source = locate("logs/**/*.jsonl")["train"]
    assert [row.values["text"] for row in source.rows()] == ["logs/a/1.jsonl", "logs/b/2.jsonl"]
    assert locate("logs/a/*.jsonl")["train"].name == "logs/a/1.jsonl"
    with pytest.raises(DataError, match="no file or folder"):
        locate("logs/*.csv")
    for name in ("docs/one.md", "docs/in/two.md"):
        file(name, f"# Title\n\nText of {name}.\n")
    assert verbs.gather(["docs/**/*.md"], output="out.jsonl").to_dict()["documents"] == 2


# ---- shapes ---------------------------------------------------------------------------------------
ROWS = {  # shape: (record, row)
    "classification": [("labelled", {"text": "a b", "label": "x"}), ("labelled", {"text": "a", "text_pair": "b", "label": "x"}), ("multi_labelled", {"text": "a b", "labels": ["x", "y"]})],
    "scored": [("scored", {"text": "a b", "score": 1.5}), ("scored", {"text": "a", "text_pair": "b", "score": -2.0})],
    "spans": [("tagged", {"text": "Ann  lives in Rome.", "spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 14, "end": 18, "label": "LOC"}]})],
    "tokens": [("tagged", {"tokens": ["Ann", "Lee", "left"], "ner_tags": ["B-PER", "I-PER", "O"]})],
    "source-target": [("pair", {"source": "a b", "target": "c"})],
    "preference": [("preference", {"prompt": [{"role": "system", "content": "s"}, *ASK], "chosen": [{"role": "assistant", "content": "g"}], "rejected": [{"role": "assistant", "content": "p"}]})],
    "openai-preference": [("preference", {"input": {"messages": ASK}, "preferred_output": [{"role": "assistant", "content": "g"}], "non_preferred_output": [{"role": "assistant", "content": "p"}]})],
    "kto": [("rated", {"prompt": ASK, "completion": [{"role": "assistant", "content": "g"}], "label": True}), ("rated", {"prompt": ASK, "completion": [{"role": "assistant", "content": "g"}], "label": False})],
    "prompt": [("prompt", {"prompt": ASK, "reference": "4", "level": 3}), ("prompt", {"prompt": ASK, "level": 3})],
    "messages": [("conversation", {"messages": [*ASK, {"role": "assistant", "content": "g"}]})],
    "text": [("text", {"text": "a b"})],
}


@pytest.mark.parametrize("shape, kind, values", [(shape, kind, values) for shape, some in ROWS.items() for kind, values in some])
def test_a_shape_holds_all_and_is_read_back(shape, kind, values):
    record = record_of(values, RECORDS[kind])
    [row] = shaped(iter([record]), shape)
    assert row == values
    again = record_of(row, RECORDS[kind])
    assert again == record
    heavy = replace(record, weight=2.0, group="g")
    assert next(shaped(iter([heavy]), shape)) == {**values, "group": "g", "row_weight": 2.0}


def test_every_shape_has_rows_and_refuses_what_it_cannot_hold():
    assert set(SHAPES) == {*ROWS, "sharegpt", "alpaca", "prompt-completion", "canonical"}
    plain = record_of({"text": "a b"})
    for shape in set(SHAPES) - {"text", "canonical"}:
        with pytest.raises(DataError) as told:
            next(shaped(iter([plain]), shape))
        assert told.value.code == "D150"
    with pytest.raises(DataError):
        next(shaped(iter([record_of({"text": "a", "text_pair": "b", "label": "x"})]), "messages"))


def test_a_task_says_how_columns_are_read(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = file("s.jsonl", "".join(json.dumps({"text": f"text number {at}", "score": at}) + "\n" for at in range(9)))
    assert verbs.convert(path, output="o.jsonl", shape="scored", task="regression").to_dict()["rows"] == 9
    with pytest.raises(RecipeError, match="no task"):
        verbs.convert(path, output="o.jsonl", shape="scored", task="regresion")


def test_arrow_and_conll_are_written_and_read_back(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"tokens": ["Ann", "Lee", f"left{at}"], "ner_tags": ["B-PER", "I-PER", "O"]} for at in range(30)]
    path = file("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert verbs.convert(path, output="t.arrow").to_dict()["rows"] == 30 and [row.values for row in read("t.arrow")] == rows
    assert verbs.convert(path, output="t.conll", shape="tokens").to_dict()["rows"] == 30
    again = [record_of(row.values, RECORDS["tagged"]) for row in read("t.conll")]
    assert [(one.text, one.tags) for one in again] == [(f"Ann Lee left{at}", ("B-PER", "I-PER", "O")) for at in range(30)]
    texts = file("x.jsonl", json.dumps({"text": "a", "label": "b"}) + "\n")
    for bad in (texts, file("w.jsonl", json.dumps({"tokens": ["a b"], "ner_tags": ["O"]}) + "\n")):
        with pytest.raises(DataError) as told:
            verbs.convert(bad, output="no.conll")
        assert told.value.code == "D150" and not (tmp_path / "no.conll").exists()
