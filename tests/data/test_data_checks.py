"""Each check of the data doctor finds what it is for, and is silent on clean data."""
import json
import re
from pathlib import Path

import pytest

from luthier.data.checks import ROW_CHECKS, SET_CHECKS
from luthier.data.dataset import build
from luthier.data.findings import CODES
from luthier.data.settings import DataSettings

CLEAN = [{"text": f"a clean ticket number {at}", "label": "ab"[at % 2]} for at in range(1200)]


@pytest.fixture
def findings(file, tmp_path):
    """Findings by code of rows given as JSON objects."""

    def run(rows, **settings):
        path = file("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        data = build(DataSettings(train=path, **settings), folder=tmp_path / "data", strict=False)
        found = {}
        for finding in data.findings:
            found.setdefault(finding["code"], []).append(finding)
        return found

    return run


def talk(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


CHAT = [talk(("user", f"question {at}"), ("assistant", f"answer {at}")) for at in range(1200)]


@pytest.mark.parametrize("rows", [CLEAN, CHAT, [{"text": f"document {at}"} for at in range(1200)]], ids=["labels", "chat", "text"])
def test_clean_data_has_no_findings(findings, rows):
    assert findings(rows) == {}


CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}
ROW_CASES = [
    ("D110", "error", talk(("user", ""), ("assistant", "a"))),
    ("D110", "error", talk(("user", "q"), ("assistant", " \n "))),
    ("D123", "error", talk(("user", "q"))),
    ("D128", "error", {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]}),
    ("D124", "warning", talk(("user", "q"), ("assistant", "a"), ("assistant", "b"))),
    ("D124", "warning", talk(("user", "q"), ("user", "q"), ("assistant", "b"))),
    ("D125", "warning", talk(("user", "q"), ("assistant", "a"), ("user", "r"))),
    ("D126", "warning", talk(("user", "q"), ("system", "s"), ("assistant", "a"))),
    ("D127", "warning", {"messages": [{"role": "user", "content": "q"}, CALL, {"role": "user", "content": "r"}, {"role": "assistant", "content": "a"}]}),
    ("D127", "warning", talk(("user", "q"), ("tool", "4"), ("assistant", "a"))),
]


@pytest.mark.parametrize("code, level, row", ROW_CASES, ids=lambda value: str(value)[:50])
def test_row_checks(findings, code, level, row):
    rows = CHAT[:150] + [row] + CHAT[150:300]
    [finding] = findings(rows)[code]
    assert (finding["level"], finding["line"], finding["rows"]) == (level, 151, [151]) and finding["field"].startswith("messages") and finding["hint"]


def test_warnings_about_rows_are_one_finding_per_code(findings):
    row = talk(("user", "q"), ("assistant", "a"), ("user", "r"))
    [finding] = findings(CHAT[:150] + [row] * 30)["D125"]
    assert finding["count"] == 30 and finding["rows"] == list(range(151, 171)) and "30 rows (lines 151, 152, 153, 154, 155 ...)" in finding["message"]


@pytest.mark.parametrize(
    "text, kind",
    [
        ("write to ann.b@example.org please", "e-mail"), ("call +49 30 1234567 now", "telephone"), ("(030) 123-4567 89", "telephone"), ("My phone is 555-0740.", "telephone"), ("card 4111 1111 1111 1111", "card"),
        ("key sk-abcdefghijklmnopqrstuvwx", "key"), ("-----BEGIN RSA PRIVATE KEY-----", "key"),
        ("at 5 @ noon, order 20240115 on 2024-01-15 10:30", ""), ("order 1234567890123", ""), ("pages 100-120 and 3.14159265358", ""),
    ],
)
def test_private(findings, text, kind):
    found = findings(CHAT[:20] + [talk(("user", text), ("assistant", "a"))]).get("D501")
    assert bool(found) == bool(kind)
    if kind:
        assert kind in found[0]["message"] and text not in json.dumps(found) and found[0]["field"] == "messages[0].content"


def test_tool_turns_in_order_are_fine(findings):
    good = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, CALL, {"role": "tool", "content": ""}, {"role": "assistant", "content": "a"}]}
    assert findings(CHAT + [good]) == {}


def test_empty_label_and_text(findings):
    found = findings(CLEAN + [{"text": "  ", "label": "a"}, {"text": "x", "label": ""}])
    assert [finding["rows"] for finding in found["D110"]] == [[1201], [1202]]


def test_columns(findings):
    rows = [{**row, "created": "today"} for row in CLEAN]
    rows[7]["lable"] = "b"
    sometimes, always = sorted(findings(rows)["D112"], key=lambda finding: finding["level"], reverse=True)
    assert always["level"] == "info" and "created" in always["message"]
    assert sometimes["level"] == "warning" and "lable (1 of 1,200 rows)" in sometimes["message"] and sometimes["rows"] == [8]


def test_few_rows(findings):
    assert findings(CLEAN[:8])["D120"][0]["level"] == "error"
    found = findings(CLEAN[:60])
    assert found["D120"][0]["level"] == "warning" and found["D122"][0]["count"] == 6
    assert "D122" not in findings(CLEAN[:60], min_test_rows=5)


def test_a_split_without_rows(findings):
    rows = [{**row, "who": "one"} for row in CLEAN]
    found = findings(rows, group="who")
    assert any(finding["level"] == "error" for finding in found["D121"])


def test_duplicates_and_conflicts(findings):
    rows = CLEAN + [CLEAN[3], CLEAN[3], {"text": " A clean TICKET number 4", "label": "b"}]
    found = findings(rows)
    [duplicate] = found["D201"]
    assert duplicate["rows"] == [1201, 1202] and duplicate["count"] == 2 and duplicate["line"] == 1201
    [conflict] = found["D202"]
    assert conflict["rows"] == [5, 1203] and "says `a`" in conflict["message"] and ":1203 says `b`" in conflict["message"]


def test_ids(findings):
    rows = [{**row, "id": at} for at, row in enumerate(CLEAN)]
    assert "D204" not in findings(rows)
    rows[9]["id"] = 3
    assert findings(rows)["D204"][0]["rows"] == [10]


def test_single_class(findings):
    assert findings([{**row, "label": "a"} for row in CLEAN])["D301"][0]["level"] == "error"


def test_rare_labels_and_imbalance(findings):
    rows = CLEAN + [{"text": f"rare {at}", "label": "rare"} for at in range(5)] + [{"text": "alone", "label": "single"}]
    found = findings(rows)
    assert "`rare`" in found["D302"][0]["message"] and "one row or none" in found["D302"][0]["message"] and found["D302"][0]["count"] == 2
    assert "more than 20 to 1" in found["D303"][0]["message"]


def test_labels_on_one_side(file, tmp_path):
    train = file("train.csv", "text,label\n" + "".join(f"ticket {at},{['billing', 'login', 'repair'][at % 3]}\n" for at in range(600)))
    test = file("test.csv", "text,label\n" + "".join(f"other {at},{['billing', 'login', 'logins'][at % 3]}\n" for at in range(150)))
    data = build(DataSettings(train=train, test=test), folder=tmp_path / "data")
    unknown, untested = [finding for finding in data.findings if finding["code"] == "D304"]
    if "trained but" in unknown["message"]:
        unknown, untested = untested, unknown
    assert unknown["count"] == 50 and unknown["line"] == 4 and "logins" in unknown["message"] and unknown["hint"] == "did you mean `login`?"
    assert "repair" in untested["message"]


def test_label_spelling(findings):
    rows = CLEAN + [{"text": "odd one", "label": "A"}, {"text": "odder one", "label": " b"}]
    [finding] = findings(rows)["D307"]
    assert finding["rows"] == [1201] and "`a` (600) and `A` (1)" in finding["message"]


def test_no_validation_and_no_test(findings):
    found = findings(CLEAN, validation=0)
    assert len(found["D402"]) == 1 and "validation" in found["D402"][0]["message"]
    assert len(findings(CLEAN, validation=0, test=0)["D402"]) == 2


def test_shares_that_large_groups_bend(findings):
    rows = [{**row, "who": "big" if at < 700 else f"small {at}"} for at, row in enumerate(CLEAN)]
    names = {"big": None}
    for name in (f"big{at}" for at in range(200)):
        for row in rows[:700]:
            row["who"] = name
        found = findings(rows, group="who")
        if "D403" in found:
            names["big"] = found["D403"][0]
            break
    assert names["big"] and "was asked for" in names["big"]["message"]


def test_every_check_and_code_is_documented():
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    assert [code for code, words in CODES.items() if not re.search(rf"\| `{code}` \| [EWI ]+ \| {re.escape(words)} \|", page)] == []
    assert set(ROW_CHECKS) and set(SET_CHECKS)


def test_every_code_in_the_source_is_in_the_table():
    folder = Path(__file__).resolve().parents[2] / "luthier" / "data"
    used = {code for path in folder.rglob("*.py") if "samples" not in path.parts for code in re.findall(r'"(D[1-5]\d\d)"', path.read_text())}
    assert used - {"D411"} == set(CODES)


def test_the_short_way_past_numbers_misses_none(monkeypatch):
    """Texts of digits, signs and words that name telephones: what is found is what is found without the short way, which most of them take."""
    import random

    from luthier.data.checks import private

    draw = random.Random(3)
    parts = ["phone", "Tel.", "mobile ", "cell", "0", "12", "345", "6789", "4111", " ", " ", "-", "(", ")", ".", "+", "a", "b ", "\n", "2024-05-06", "٣"]
    texts = ["".join(draw.choices(parts, k=draw.randrange(1, 14))) for _ in range(4000)]
    found = [private.kind_of(text) for text in texts]
    passed = sum(not private.may_hold_number(text) for text in texts)
    monkeypatch.setattr(private, "may_hold_number", lambda text: True)
    assert [private.kind_of(text) for text in texts] == found and passed > 500
    assert sum(map(bool, found)) > 100
    monkeypatch.setattr(private, "may_hold_number", lambda text: False)
    assert [private.kind_of(text) for text in texts] != found
