"""From a file to a data set on disk: split, accounted for, refused or skipped with reasons, and reused while nothing changes."""
import json
import os
import random
import subprocess
import sys
import tracemalloc

import pytest

from luthier.data import canonical, ledger
from luthier.data.dataset import DataSet, build
from luthier.data.findings import CODES
from luthier.data.ledger import Ledger, Tokens
from luthier.data.records import Conversation, Labelled, Message, Origin, Text
from luthier.data.settings import DataSettings
from luthier.data.sources import Finding
from luthier.errors import DataError, RecipeError, WorkFailed
from luthier.files import verify


def labelled(count, labels=("billing", "login"), start=0):
    return "text,label\n" + "".join(f"ticket number {at},{labels[at % len(labels)]}\n" for at in range(start, start + count))


@pytest.fixture
def make(tmp_path):
    """Build from settings into a folder of its own; events are gathered in `make.events`."""

    def run(train, *, folder="out", strict=True, task=None, identity=None, **settings):
        more = {"identity": identity} if identity else {}
        return build(DataSettings(train=train, **settings), task=task, folder=tmp_path / folder, say=run.events.append, strict=strict, **more)

    run.events = []
    return run


def texts(data, name):
    return [record.text for record in data.iterate(name)]


def codes(data, level=None):
    return {finding["code"] for finding in data.findings if level in (None, finding["level"])}


# ---- what stands on disk ---------------------------------------------------------------------------
def test_a_file_becomes_three_splits(file, make):
    data = make(file("a.csv", labelled(400)))
    assert [data.count(name) for name in ("train", "validation", "test")] == [320, 40, 40]
    assert sorted(texts(data, "train") + texts(data, "validation") + texts(data, "test")) == sorted(f"ticket number {at}" for at in range(400))
    assert data.labels == ["billing", "login"] and data.mapping["task"] == "classification" and data.record is Labelled
    record = data.records("train")[0]
    at = int(record.text.split()[-1])
    assert record.origin == Origin(data.sources["train"]["name"], at + 2, at + 1)
    assert {path.name for path in data.folder.iterdir()} == {"train.jsonl", "validation.jsonl", "test.jsonl", "rejected.jsonl", "check.json", "manifest.json"}
    manifest = verify(data.folder)
    assert manifest["fingerprint"] == data.fingerprint and manifest["split_version"] and manifest["sources"]["train"]
    assert any(event.kind == "note" and "text ← text · label ← label" in event.message for event in make.events)


def test_records_survive_the_way_to_disk():
    talk = Conversation((Message("user", "a\u2028\"b\"\n", 1.0, {"name": "n"}), Message("assistant", "é🎸", 0.0)), ({"type": "function", "function": {"name": "f"}},), Origin("f", None, 3), "g")
    for record in (talk, Labelled("t", "l", Origin("f\"", 1, 1)), Text("t", None, "g"), Text("t")):
        line = canonical.to_json(record)
        assert "\n" not in line and canonical.from_dict(json.loads(line), type(record)) == record


def test_the_summary_counts_and_measures(file, make):
    data = make(file("a.csv", labelled(400)))
    assert sum(split["rows"] for split in data.summary.values()) == 400
    assert sum(data.summary["train"]["labels"].values()) == 320
    lengths = sorted(len(text) for text in texts(data, "train"))
    assert data.summary["train"]["characters"] == {"min": lengths[0], "mean": pytest.approx(sum(lengths) / 320, abs=0.05), "p50": lengths[159] if lengths[159] == lengths[160] else pytest.approx(lengths[160], abs=1), "p95": pytest.approx(lengths[303], abs=1), "max": lengths[-1]}


def test_a_users_test_file_wins(file, make):
    train = labelled(600) + "only in train,login\n" + "TICKET  number 9001,login\n"
    data = make(file("a.csv", train), test=file("t.csv", labelled(50, start=9000)))
    assert data.count("test") == 50 and data.ledger["train"].left_out == {"also in a later split": 1}
    assert "TICKET  number 9001" not in texts(data, "train") + texts(data, "validation")
    [finding] = [each for each in data.findings if each["code"] == "D401"]
    assert finding["level"] == "warning" and finding["rows"] == [602] and finding["line"] == 603 and finding["count"] == 1
    [row] = [json.loads(line) for line in open(data.folder / "rejected.jsonl")]
    assert (row["reason"], row["line"]) == ("also in a later split", 603) and "9001" in row["raw"]
    kept = make(file("a.csv", train), test=file("t.csv", labelled(50, start=9000)), allow_overlap=True)
    assert kept.ledger["train"].left_out == {} and "TICKET  number 9001" in texts(kept, "train") + texts(kept, "validation")


def test_groups_stay_together_even_where_a_test_file_takes_one(file, make):
    rows = "".join(f"ticket {at} of customer,{'ab'[at % 2]},c{at % 60}\n" for at in range(900))
    data = make(file("a.csv", "text,label,customer\n" + rows), test=file("t.csv", "text,label,customer\nnew text,a,c7\nother text,b,c8\n" * 1), group="customer")
    groups = {name: {record.group for record in data.iterate(name)} for name in ("train", "validation", "test")}
    assert groups["test"] == {"c7", "c8"} and not groups["train"] & groups["test"] and not groups["train"] & groups["validation"]
    assert data.ledger["train"].left_out["also in a later split"] == 30
    with pytest.raises(DataError) as raised:
        make(file("b.csv", "text,label,customer\n" + rows), group="custmer", folder="b")
    assert "did you mean `customer`" in raised.value.hint


def test_identity_is_the_callers(file, make):
    rows = "".join(f"{'even' if at % 2 else 'odd'} {at},l{at % 3}\n" for at in range(600))
    data = make(file("a.csv", "text,label\n" + rows), identity=by_first_word, strict=False)
    sides = [{text.split()[0] for text in texts(data, name)} for name in ("train", "validation", "test")]
    assert sum(map(len, sides)) == 2


def by_first_word(record):
    return record.text.split()[0]


def as_it_is(record):
    return record.text


def test_the_callers_identity_is_normalised(file, make):
    """A test row is the same input in capitals, whoever names the input."""
    data = make(file("a.csv", labelled(600) + "ticket  NUMBER 9001,login\n"), test=file("t.csv", labelled(50, start=9000)), identity=as_it_is)
    assert data.ledger["train"].left_out == {"also in a later split": 1}


def test_adding_rows_moves_no_row(file, make):
    before = make(file("a.csv", labelled(700)), folder="before")
    after = make(file("b.csv", labelled(1500)), folder="after")
    for name in ("train", "validation", "test"):
        assert set(texts(before, name)) <= set(texts(after, name))


# ---- the ledger ------------------------------------------------------------------------------------
def test_the_ledger_balances_over_random_damage(file, make):
    draw = random.Random(5)
    lines = labelled(900).split("\n")
    bad = draw.sample(range(2, 900), 60)
    for at in bad:
        lines[at] = draw.choice(["one field", 'x"y,b', " ,login", "a,b,c", "ticket,  "])
    data = make(file("a.csv", "\n".join(lines)), on_bad_row="skip")
    accounts = data.ledger.values()
    assert sum(account.rows_in for account in accounts) == 900
    assert sum(sum(account.left_out.values()) for account in accounts) == 60
    assert all(account.rows_in == account.used + sum(account.left_out.values()) for account in accounts)
    rejected = [json.loads(line) for line in open(data.folder / "rejected.jsonl")]
    assert sorted(row["line"] for row in rejected) == sorted(at + 1 for at in bad)
    assert all(row["reason"] in CODES.values() and row["raw"] and row["file"] for row in rejected)
    assert data.ok and codes(data, "error") == set()


def test_a_ledger_that_does_not_balance_is_refused():
    assert Ledger(5, 3, {"a": 2}).check()
    for wrong in (Ledger(5, 3, {"a": 1}), Ledger(2, 3), Ledger(1, 1, tokens=Tokens(5, 2, 2, 0))):
        with pytest.raises(WorkFailed):
            wrong.check()
    with pytest.raises(WorkFailed):
        ledger.from_dict({"rows_in": 2, "used": 1, "left_out": {}})


@pytest.mark.parametrize("learned, refused", [(0, True), (1, True), (50, False)])
def test_too_little_to_learn_is_refused(learned, refused):
    account = Ledger(1, 1, tokens=Tokens(1000, learned, 1000 - learned, 0))
    if refused:
        with pytest.raises(DataError) as raised:
            ledger.learnable(account, 0.01)
        assert raised.value.code == "D411" and "1,000" in raised.value.message
    else:
        ledger.learnable(account, 0.01)


# ---- bad rows --------------------------------------------------------------------------------------
def test_bad_rows_stop_with_all_findings_and_the_folder_stands(file, make, chat_rows):
    content = chat_rows(30) + '{"messages": }\n' + '{"messages": []}\n' + chat_rows(30, 100) + '{"messages": [{"role": "user", "content": "hi"}]}\n'
    with pytest.raises(DataError) as raised:
        make(file("a.jsonl", content))
    error = raised.value
    assert error.exit_code == 1 and (error.code, error.line, error.column) == ("D100", 31, 14) and "and 2 more" in error.message
    assert [finding["code"] for finding in error.findings if finding["level"] == "error"] == ["D100", "D118", "D123"]
    data = make(file("a.jsonl", content), strict=False)
    assert not data.ok and data.ledger["train"].left_out and len(open(data.folder / "rejected.jsonl").readlines()) == 3
    assert make(file("a.jsonl", content), on_bad_row="skip").ok


def test_more_than_twenty_bad_rows_are_counted(file, make):
    data = make(file("a.jsonl", "".join(json.dumps({"text": f"fine {at}", "label": "ab"[at % 2]}) + "\n" for at in range(200)) + "{\n" * 75), strict=False)
    found = [finding for finding in data.findings if finding["code"] == "D100"]
    assert len(found) == 21 and [finding["count"] for finding in found].count(75) == 1
    with pytest.raises(DataError) as raised:
        data.raise_errors()
    assert "and 74 more" in raised.value.message


@pytest.mark.parametrize("name, content", [("a.jsonl", ""), ("a.jsonl", " \n\n \n"), ("a.csv", "text,label\n"), ("a.csv", ""), ("a.txt", "\n\n"), ("a.json", "[]"), ("a.csv", labelled(9)), ("a.jsonl", '{"text": "a", "label": "b"}\n')])
def test_too_few_rows_are_said_with_the_count(file, make, name, content):
    with pytest.raises(DataError) as raised:
        make(file(name, content))
    assert raised.value.code == "D120" and raised.value.count == max(content.count("ticket") or content.count("{"), 0)


def test_mixed_rows_name_both_kinds(file, make, chat_rows):
    content = chat_rows(20) + '{"instruction": "do", "output": "done"}\n' + '{"text": "plain"}\n'
    data = make(file("a.jsonl", content), strict=False)
    found = [finding for finding in data.findings if finding["code"] == "D114"]
    assert [finding["line"] for finding in found] == [21, 22] and "Alpaca" in found[0]["message"] and all("on line 1," in finding["message"] for finding in found)


def test_labels_not_in_the_set_are_named_with_the_nearest(file, make):
    data = make(file("a.csv", labelled(50) + "more,bilingg\n"), labels=["billing", "login", "repair"], strict=False)
    [finding] = [finding for finding in data.findings if finding["code"] == "D306"]
    assert finding["line"] == 52 and "bilingg" in finding["message"] and "did you mean `billing`" in finding["hint"]
    assert data.labels == ["billing", "login", "repair"]


def test_task_and_map_of_the_recipe_are_heeded(file, make):
    path = file("a.csv", "question,answer,label\n" + "".join(f"what is {at}?,it is {at},x{at % 2}\n" for at in range(40)))
    assert make(path, task="chat", folder="a").record is Conversation
    data = make(path, task="classification", map={"text": "answer", "label": "label"}, folder="b")
    assert data.records("train")[0].text.startswith("it is")
    with pytest.raises(RecipeError):
        make(path, map={"text": "nothing"}, folder="c")
    with pytest.raises(DataError) as raised:
        make(file("t.csv", "a,b\n" + "1,2\n" * 20), task="chat", folder="d")
    assert raised.value.code == "D113"


def test_max_rows_reads_the_first_and_says_so(file, make):
    data = make(file("a.csv", labelled(400)), max_rows=100)
    assert sum(data.count(name) for name in data.ledger) == 100 and "D133" in codes(data)


def test_a_file_that_changes_while_it_is_read(file, make, monkeypatch):
    from luthier.data.sources import Source

    path = file("a.csv", labelled(50))
    read = Source.rows

    def rows(self, limit):
        yield from read(self, limit)
        with open(path, "a") as stream:
            stream.write("late,login\n")

    monkeypatch.setattr(Source, "rows", rows)
    with pytest.raises(DataError) as raised:
        make(path, on_bad_row="skip")
    assert raised.value.code == "D109" and "changed while" in raised.value.message


# ---- reuse -----------------------------------------------------------------------------------------
def test_a_second_build_reuses_the_folder(file, make):
    path = file("a.csv", labelled(100))
    first = make(path)
    stamp = os.stat(first.folder / "train.jsonl").st_mtime_ns
    again = make(path)
    assert again.fingerprint == first.fingerprint and os.stat(again.folder / "train.jsonl").st_mtime_ns == stamp
    assert "unchanged" in make.events[-1].message


@pytest.mark.parametrize("change", ["content", "settings", "task", "identity", "damage"])
def test_any_change_builds_anew(file, make, change):
    path = file("a.csv", labelled(100))
    first = make(path)
    if change == "content":
        file("a.csv", labelled(101))
    if change == "damage":
        (first.folder / "train.jsonl").write_text("")
    more = {"settings": {"test": 0.2}, "task": {"task": "classification"}, "identity": {"identity": by_first_word, "strict": False}}.get(change, {})
    again = make(path, **more)
    assert (again.fingerprint != first.fingerprint) == (change != "damage") and again.count("train") > 0
    assert not any("unchanged" in event.message for event in make.events)


def test_a_build_that_fails_leaves_the_old_folder(file, make, tmp_path):
    first = make(file("a.csv", labelled(100)))
    with pytest.raises(DataError):
        make(file("c.csv", "a,b\n" + "1,2\n" * 20))
    assert DataSet(tmp_path / "out").fingerprint == first.fingerprint
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".staging")] == []


def test_the_fingerprint_is_the_same_in_another_process(file, make, tmp_path):
    path = file("a.csv", labelled(600))
    data = make(path)
    code = f"from luthier.data.dataset import build; from luthier.data.settings import DataSettings; d = build(DataSettings(train={path!r}), folder={str(tmp_path / 'other')!r}); print(d.fingerprint)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "123"})
    assert done.stdout.strip() == data.fingerprint
    for name in ("train", "validation", "test"):
        assert (tmp_path / "other" / f"{name}.jsonl").read_bytes() == (data.folder / f"{name}.jsonl").read_bytes()


# ---- size ------------------------------------------------------------------------------------------
def test_memory_per_row_is_bounded(file, make):
    def peak(count, folder):
        path = file(f"{folder}.csv", labelled(count))
        tracemalloc.start()
        make(path, folder=folder)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1000, "warm")
    small, large = peak(1000, "small"), peak(9000, "large")
    assert (large - small) / 8000 < 200, "bytes a row while building, the sort of the checks included"


def test_chat_rows_with_unicode_and_tools_from_gz_to_disk(file, make):
    import gzip

    rows = [{"messages": [{"role": "user", "content": f"où est {at}? 🎸"}, {"role": "assistant", "content": "là\u2028bas"}], "tools": [{"type": "function", "function": {"name": "f"}}]} for at in range(30)]
    data = make(file("a.jsonl.gz", gzip.compress("\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())))
    records = [record for name in ("train", "validation", "test") for record in data.iterate(name)]
    assert len(records) == 30 and all(record.messages[1].content == "là\u2028bas" and record.tools[0]["function"]["name"] == "f" for record in records)


def test_findings_have_the_stable_shape(file, make):
    data = make(file("a.csv", labelled(50)), strict=False)
    names = {"code", "level", "message", "file", "line", "column", "byte_offset", "field", "rows", "count", "hint"}
    assert data.findings and all(set(finding) == names for finding in data.findings)
    assert set(Finding("D100", "error", "x").to_dict()) == names
