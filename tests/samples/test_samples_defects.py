"""Planted faults: exactly where `defects.json` says, of the kind it says, and nowhere else."""

import csv
import json
from collections import Counter

import pytest

from luthier.data.samples import correct, make, write
from luthier.data.samples.defects import KINDS, PRIVATE
from luthier.errors import RecipeError

CASES = [("chat", 400), ("tickets", 400)]


def asked(row: dict) -> str:
    return "\n".join(m["content"] for m in row["messages"][:-1]) if "messages" in row else row["text"]


def answered(row: dict) -> str:
    return row["messages"][-1]["content"] if "messages" in row else row["label"]


@pytest.mark.parametrize("kind,count", CASES)
def test_every_fault_is_what_and_where_it_is_said_to_be(kind, count):
    sample, sound = make(kind, rows=count, seed=3, defects_too=True), make(kind, rows=count, seed=3)
    rows = sample.rows
    assert len(rows) == count and Counter(p["kind"] for p in sample.planted) == dict.fromkeys(KINDS, 4)
    for planted in sample.planted:
        row = rows[planted["row"] - 1]
        before = sound.rows[planted["row"] - 1]
        origin = (sample.held_out if planted["kind"] == "leaked" else rows)[planted["of"] - 1] if "of" in planted else None
        if planted["kind"] == "empty":
            assert (answered(row) if kind == "chat" else asked(row)).strip() == ""
        elif planted["kind"] in ("exact_duplicate", "leaked"):
            assert (asked(row), answered(row)) == (asked(origin), answered(origin))
        elif planted["kind"] == "near_duplicate":
            assert asked(row) != asked(origin) and answered(row) == answered(origin)
            assert len(set(asked(row).split()) & set(asked(origin).split())) > 0.6 * len(set(asked(origin).split()))
        elif planted["kind"] == "conflicting":
            assert asked(row) == asked(origin) and answered(row) != answered(origin)
        elif planted["kind"] == "mislabelled":
            assert asked(row) == asked(before) and answered(row) != answered(before)
            assert kind != "chat" or not correct(answered(row), row["truth"])
        else:
            assert planted["detail"] in PRIVATE and asked(row) != asked(before)


@pytest.mark.parametrize("kind,count", CASES)
def test_the_other_rows_are_untouched(kind, count):
    sample, sound = make(kind, rows=count, seed=3, defects_too=True), make(kind, rows=count, seed=3)
    hit = {planted["row"] - 1 for planted in sample.planted}
    assert len(hit) == len(sample.planted), "one fault a row"
    assert all(sample.rows[i] == sound.rows[i] for i in range(count) if i not in hit)
    assert sound.planted == [] and sound.held_out == []


def test_held_out_rows_are_new_but_for_the_leaked_ones():
    sample = make("tickets", rows=400, seed=3, defects_too=True)
    leaked = {planted["of"] - 1 for planted in sample.planted if planted["kind"] == "leaked"}
    texts = {row["text"] for row in sample.rows}
    assert {i for i, row in enumerate(sample.held_out) if row["text"] in texts} == leaked


@pytest.mark.parametrize("kind,files", [("chat", ["chat.jsonl", "held_out.jsonl"]), ("tickets", ["tickets.csv", "held_out.csv"])])
def test_files_carry_the_faults_and_their_truth(tmp_path, kind, files):
    write(tmp_path, kind=kind, rows=200, seed=4, defects=True)
    sample = make(kind, rows=200, seed=4, defects_too=True)
    assert json.loads((tmp_path / "defects.json").read_text()) == sample.planted
    for name, rows in zip(files, (sample.rows, sample.held_out), strict=True):
        if kind == "chat":
            assert [json.loads(line)["messages"] for line in (tmp_path / name).read_text().splitlines()] == [r["messages"] for r in rows]
        else:
            with open(tmp_path / name, newline="") as file:
                assert [r["label"] for r in csv.DictReader(file)] == [r["label"] for r in rows]


def test_too_few_rows_for_faults_get_a_sentence():
    with pytest.raises(RecipeError, match="too few"):
        make("chat", rows=20, seed=1, defects_too=True)
