"""Every source reads what it should, row for row, and refuses the rest with the place and a hint."""
import gzip
import io
import json
import os
import subprocess
import sys
import tracemalloc

import pytest

from luthier.data.sources import FORMATS, SUFFIXES, Finding, Row, locate, read, read_file
from luthier.data.sources.stdin import spool
from luthier.errors import DataError

TWO = [{"text": "one"}, {"text": "two"}]
LINES = '{"text": "one"}\n{"text": "two"}\n'


# ---- JSONL --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "content",
    [LINES, LINES[:-1], LINES.replace("\n", "\r\n"), "\n\n" + LINES.replace("\n", "\n \n\t\n"), "\ufeff" + LINES],
    ids=["plain", "no final newline", "CRLF", "blank lines", "byte order mark"],
)
def test_jsonl_is_read_row_for_row(read_all, content):
    assert read_all("a.jsonl", content) == (TWO, [])


def test_line_separators_inside_strings_split_nothing(read_all):
    text = "a\u2028b\u2029c\x85d"
    rows, errors = read_all("a.jsonl", json.dumps({"text": text}, ensure_ascii=False) + "\n")
    assert (rows, errors) == ([{"text": text}], [])


def test_rows_know_their_place(file):
    rows = list(read(file("a.jsonl", '\ufeff\r\n{"é": "ü"}\r\n\r\n{"b": 1}')))
    assert [(row.line, row.byte_offset, row.number) for row in rows] == [(2, 5, 1), (4, 21, 2)]


@pytest.mark.parametrize(
    "content, line, column, word",
    [
        ('{"text": "one"}\n{"text": "two"},\n', 2, 16, "comma after the row"),
        ('{"text": "one"} {"text": "two"}\n', 1, 17, "its own line"),
        ('{\n  "text": "one"\n}\n', 1, 2, "pretty-printed"),
        ('{"text": "one",}\n', 1, 16, "remove the comma"),
        ('{"text": "one"}\n["two"]\n', 2, 1, "object of named fields"),
        ('{"text": "one"}\n"two"\n', 2, 1, "object of named fields"),
    ],
)
def test_jsonl_faults_have_a_specific_hint(read_all, content, line, column, word):
    _, [error] = read_all("a.jsonl", content)
    assert (error.line, error.column) == (line, column)
    assert word in f"{error.message} {error.hint}"


def test_an_array_under_a_jsonl_name_is_read_and_said(file):
    items = list(read(file("a.jsonl", json.dumps(TWO, indent=2))))
    assert [item.values for item in items if type(item) is Row] == TWO
    assert any("JSON array under a .jsonl name" in item.message for item in items if type(item) is Finding)


# ---- encodings ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
@pytest.mark.parametrize(
    "encoding, offset",
    [("utf-16", 0), ("utf-16-le", 1), ("utf-16-be", 0), ("utf-32", 0)],
)
def test_other_encodings_are_named(read_all, name, encoding, offset):
    rows, [error] = read_all(name, LINES.encode(encoding))
    assert rows == [] and error.code == "D101" and error.fatal
    assert encoding[:6].upper() in error.message and error.byte_offset == offset


@pytest.mark.parametrize(
    "raw, byte, word",
    [
        ("café".encode("latin-1"), 3, "Latin-1"),
        ("“so”".encode("cp1252"), 0, "CP1252"),
        (b"ok \xc0\xaf", 3, "overlong"),
        (b"ok \xe0\x80\xaf", 3, "overlong"),
        (b"ok \xed\xa0\x80", 3, "surrogate"),
        (b"ok \xf4\x90\x80\x80", 3, "beyond the last"),
    ],
)
@pytest.mark.parametrize("name, before", [("a.jsonl", b'{"text": "fine"}\n{"text": "'), ("a.csv", b"text,label\nfine,x\n"), ("a.txt", b"fine\n\n"), ("a.json", b'[{"text": "fine"},\n{"text": "')])
def test_bytes_that_are_not_utf8_are_refused_with_their_offset(read_all, name, before, raw, byte, word):
    rows, errors = read_all(name, before + raw + {"a.jsonl": b'"}\n', "a.csv": b",y\n", "a.txt": b"\n", "a.json": b'"}]'}[name])
    assert errors[0].code == "D101" and word in errors[0].message
    assert errors[0].byte_offset == len(before) + byte
    assert not any("\ufffd" in value or "Ã" in value for row in rows for value in row.values())


# ---- size ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name, head", [("a.jsonl", b'{"text": "'), ("a.csv", b"text,label\n"), ("a.txt", b"")])
def test_a_long_line_is_refused_with_bounded_memory(tmp_path, name, head):
    path = tmp_path / name
    size = 40 << 20
    with open(path, "wb") as stream:
        stream.write(head)
        for _ in range(40):
            stream.write(b"x" * (1 << 20))
        stream.write(b"\n" + {"a.jsonl": b'{"text": "after"}', "a.csv": b"after,x", "a.txt": b"\nafter"}[name] + b"\n")
    tracemalloc.start()
    items = list(read(str(path), max_line_bytes=1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    [error] = [item for item in items if type(item) is Finding and item.level == "error"]
    assert error.code == "D102" and f"{size + len(head) * (name == 'a.jsonl') + 1:,} bytes" in error.message
    assert [row.values["text"] for row in items if type(row) is Row] == ["after"]
    assert peak < 12 << 20


def test_memory_does_not_grow_with_a_json_array(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" + ",\n".join(json.dumps({"text": "x" * 200}) for _ in range(12_000)) + "]")
    tracemalloc.start()
    assert sum(type(item) is Row for item in read(str(path))) == 12_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20 < path.stat().st_size


# ---- JSON arrays --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "content, line, column, word",
    [
        ('[\n {"a": 1},\n {"a": 2,}\n]', 3, 10, "remove the comma"),
        ('[\n {"a": 1},\n]', 3, 1, "right after a comma"),
        ('[\n {"a": 1}\n {"a": 2}]', 3, 2, "second value"),
        ('[\n {"a": 1},,\n {"a": 2}]', 2, 11, "expected a row"),
        ('[\n {"a": "é", "a": 2}]', 2, 13, "twice"),
        ('[\n {"a": 1},\n {"a": "x', 3, 10, "opens at line 3, column 8"),
        ('[\n {"a": 1}', 2, 10, "not closed"),
        ('[{"a": 1}] []', 1, 12, "after the end of the array"),
        ('[\n {"a": 1},\n 7]', 3, 2, "object of named fields"),
        ('[{"a": [1}]', 1, 10, "`]`"),
    ],
)
def test_array_faults_are_told_with_their_place(read_all, content, line, column, word):
    _, errors = read_all("a.json", content)
    assert (errors[0].line, errors[0].column) == (line, column)
    assert word in f"{errors[0].message} {errors[0].hint}"


def test_elements_after_a_bad_one_are_read(read_all):
    rows, [error] = read_all("a.json", '[{"a": 1}, {"a": NaN}, {"a": "[{,"}]')
    assert rows == [{"a": 1}, {"a": "[{,"}] and error.rows == [2]


# ---- CSV ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("delimiter, name", [(",", "a.csv"), (";", "a.csv"), ("\t", "a.csv"), ("|", "a.csv"), ("\t", "a.tsv"), (",", "a.tsv")])
def test_csv_dialects(read_all, delimiter, name):
    content = f'text{delimiter}label\r\n"a{delimiter} ""b""\r\nc"{delimiter}x\r\n=cmd(){delimiter}y\r\n'
    rows, errors = read_all(name, content)
    assert errors == [] and rows == [{"text": f'a{delimiter} "b"\nc', "label": "x"}, {"text": "=cmd()", "label": "y"}]


@pytest.mark.parametrize(
    "content, line, column, rows, word",
    [
        ("a,b\n1,2\n1,2,3\n", 3, 5, [2], "3 fields, the header 2"),
        ("a,b\n1,2\n1\n", 3, 2, [2], "1 field, the header 2"),
        ('a,b\n1,2\n1,"x"y\n', 3, 6, [2], "right after a closing quote"),
        ('a,b\n1,x"y\n', 2, 4, [1], "quote inside a field"),
        ('a,b\n1,2\n3,"never\nclosed,4\n5,6\n', 3, 3, [2], "never closed"),
        ('a,b\n"1\n2",3,4\n5,6\n', 2, 1, [1], "3 fields"),
        ("a,b,a\n1,2,3\n", 1, 5, None, "stands twice"),
        ('"a,b\n1,2\n', 1, 1, None, "header cannot be read"),
    ],
)
def test_csv_faults_are_told_with_their_place(read_all, content, line, column, rows, word):
    _, errors = read_all("a.csv", content)
    assert (errors[0].line, errors[0].column, errors[0].rows) == (line, column, rows)
    assert word in errors[0].message


def test_rows_after_a_broken_quote_are_not_lost(read_all):
    rows, errors = read_all("a.csv", 'a,b\n1,"open\n2,two\n3,"th\nree"\n4,four\n')
    assert [row["a"] for row in rows] == ["2", "3", "4"] and len(errors) == 1


def test_ten_thousand_columns_and_an_unnamed_index(read_all):
    names = ["", *(f"c{at}" for at in range(10_000))]
    rows, errors = read_all("a.csv", ",".join(names) + "\n" + ",".join("v" * 10_001) + "\n")
    assert errors == [] and len(rows[0]) == 10_001 and rows[0]["column_1"] == "v"


def test_a_file_without_header_is_said_to_be(file):
    items = list(read(file("a.tsv", "ham\tgo now\nspam\twin cash\nham\tok then\nham\tsee you\n")))
    assert items[0].code == "D108" and "column_1" in items[0].message
    assert [item.values["column_1"] for item in items[1:]] == ["ham", "spam", "ham", "ham"]
    assert [item.number for item in items[1:]] == [1, 2, 3, 4]


def test_quotes_of_a_tab_separated_file_are_plain_where_they_enclose_nothing(read_all):
    rows, errors = read_all("a.tsv", 'text\tlabel\n5" pipe\tx\n"hello" he said\ty\nplain\tx\n')
    assert errors == [] and [row["text"] for row in rows] == ['5" pipe', '"hello" he said', "plain"]


def test_a_storm_of_open_quotes_ends(read_all):
    content = "a,b\n" + '1,"x\n' * 4000
    _, errors = read_all("a.csv", content, max_line_bytes=4096)
    assert errors


# ---- gz, Parquet, text, folders, stdin ------------------------------------------------------------
@pytest.mark.parametrize("name, content", [("a.jsonl.gz", LINES), ("a.json.gz", json.dumps(TWO)), ("a.csv.gz", "text\none\ntwo\n"), ("a.txt.gz", "one\n\ntwo\n"), ("misnamed.jsonl", LINES)])
def test_gz_is_read_through(read_all, name, content):
    assert read_all(name, gzip.compress(content.encode())) == (TWO, [])


@pytest.mark.parametrize("name, content", [("a.jsonl.gz", LINES * 500), ("a.json.gz", json.dumps(TWO * 500))])
def test_broken_gz_is_told(read_all, name, content):
    packed = bytearray(gzip.compress(content.encode()))
    _, errors = read_all(name, bytes(packed[:-12]))
    assert errors[-1].code == "D109" and "ends early" in errors[-1].message
    packed[-6] ^= 1
    _, errors = read_all(name, bytes(packed))
    assert errors[-1].code == "D109" and "damaged" in errors[-1].message


def test_parquet(tmp_path):
    import pyarrow
    from pyarrow import parquet

    described = {"info": {"features": {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["no", "yes"]}}}}
    table = pyarrow.table({"text": ["one", "two"], "label": [1, 0], "turns": [["a", "b"], None]}).replace_schema_metadata({"huggingface": json.dumps(described)})
    parquet.write_table(table, tmp_path / "a.parquet")
    rows = list(read(str(tmp_path / "a.parquet")))
    assert [row.values for row in rows] == [{"text": "one", "label": "yes", "turns": ["a", "b"]}, {"text": "two", "label": "no", "turns": None}]
    whole = (tmp_path / "a.parquet").read_bytes()
    for damaged in (whole[:-20], b"NOPE" + whole[4:-4] + b"NOPE", b"PAR1"):
        (tmp_path / "b.parquet").write_bytes(damaged)
        [finding] = read(str(tmp_path / "b.parquet"))
        assert finding.code == "D109" and finding.fatal


def test_text_documents(file):
    text = [item.values["text"] for item in read(file("a.txt", "\n\none\nline\n \ntwo\n\n\n")) if type(item) is Row]
    assert text == ["one\nline", "two"]
    text = [item.values["text"].strip() for item in read(file("b.txt", "one\n\nstill one\n<|endoftext|>\ntwo <|endoftext|>three")) if type(item) is Row]
    assert text == ["one\n\nstill one", "two", "three"]


def test_a_folder_is_told_apart_by_names(file, tmp_path):
    file("data/train-00000-of-00002.jsonl", LINES)
    file("data/train-00001-of-00002.jsonl", LINES)
    file("data/test.csv", "text\nthree\n")
    file("data/valid/a.json", "[]")
    file("data/README.md", "# read me")
    file("data/.hidden.jsonl", LINES)
    found = locate(str(tmp_path / "data"))
    assert {split: len(source.paths) for split, source in found.items()} == {"train": 2, "test": 1, "validation": 1}
    assert [row.number for row in found["train"].rows()] == [1, 2, 3, 4]
    assert [row.values["text"] for row in found["test"].rows()] == ["three"]


def test_text_files_of_a_folder_are_documents(file, tmp_path):
    file("books/a.txt", "one\n\nstill one")
    file("books/b.txt", "two")
    assert [row.values["text"] for row in locate(str(tmp_path / "books"))["train"].rows()] == ["one\n\nstill one", "two"]


def test_links_that_lead_out_of_a_folder_are_passed_over(file, tmp_path):
    file("in/a.jsonl", LINES)
    os.symlink(file("secret.jsonl", '{"text": "secret"}\n'), tmp_path / "in" / "b.jsonl")
    assert [row.values for row in locate(str(tmp_path / "in"))["train"].rows()] == TWO


@pytest.mark.parametrize("content", [LINES, json.dumps(TWO), "text,label\none,x\ntwo,y\n", "text\tlabel\none\tx\ntwo\ty\n"])
def test_stdin_is_told_by_its_content(content):
    path = spool(io.BytesIO(content.encode()))
    try:
        rows = [item.values["text"] for item in read_file(path, "stdin", 1 << 20) if type(item) is Row]
    finally:
        path.unlink()
    assert rows == ["one", "two"]


def test_stdin_in_a_process_can_be_read_again():
    code = "from luthier.data.sources import read; import json, sys; list(read('-')); sys.stdout.write(json.dumps([row.values for row in read('-')]))"
    done = subprocess.run([sys.executable, "-c", code], input=LINES.encode(), capture_output=True, check=True)
    assert json.loads(done.stdout) == TWO


# ---- names --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, code, word",
    [("tickest.csv", "D130", "did you mean"), ("./nowhere/x.jsonl", "D130", "no file or folder"), ("", "D130", "no data is named"), ("a\0b", "D130", "")],
)
def test_names_that_mean_nothing_get_a_sentence(file, tmp_path, monkeypatch, name, code, word):
    file("tickets.csv", "text,label\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as raised:
        list(read(name))
    assert raised.value.code == code and word in f"{raised.value.message} {raised.value.hint}"


def test_formats_that_are_not_read_are_named(file, read_all):
    with pytest.raises(DataError) as raised:
        list(read(file("a.xlsx", b"PK\x03\x04")))
    assert raised.value.code == "D131" and ".csv" in raised.value.hint
    _, [error] = read_all("a.csv", b"PK\x03\x04rest")
    assert error.code == "D131" and "zip" in error.message


def test_every_suffix_has_a_format():
    assert set(SUFFIXES.values()) <= set(FORMATS)
