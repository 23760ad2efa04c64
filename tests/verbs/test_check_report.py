"""What `check` leaves: one page that needs nothing and hides nothing, every row of every finding, and slices for evaluation."""
import csv
import json
import random
import re

import pytest

from luthier.commands.check import SECTIONS, section_of
from luthier.data.findings import CODES
from luthier.verbs.check import check

EVIL = "<script>alert(1)</script> \u202e ![x](http://e.org/x.png) javascript:alert(1)"


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """A damaged file of labelled rows, checked with a report."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(2)
    words = ["lamp", "boat", "river", "stone", "cloud", "paper", "glass", "music", "train", "field", "apple", "horse"]
    rows = [[" ".join(rng.choice(words) for _ in range(14)) + f" {at}", "ab"[at % 2]] for at in range(150)]
    for at in range(30):
        rows.append([f"mail x{at}.y@example.org about {' '.join(rng.sample(words, 8))}", "a"])
    rows[3][0] = EVIL + " she said"
    rows[50] = [rows[48][0] + " again", "a"]
    with open("t.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["text", "label"], *rows])
    result = check("t.csv", report=tmp_path / "out").to_dict()
    return result, (tmp_path / "out" / "check.html").read_text(), json.loads((tmp_path / "out" / "check.json").read_text()), json.loads((tmp_path / "out" / "slices.json").read_text())


def test_the_report(checked):
    result, page, whole, slices = checked
    assert set(result["report"]) == {"html", "json", "slices"} and result["shown"] == [] and result["checks"] > 3
    for finding in result["findings"]:
        assert finding["code"] in page
    # nothing of the data comes alive, nothing is fetched, and the one script is the one that the policy names
    assert page.count("<script>") == 1 and "&lt;script&gt;alert(1)" in page and "[U+202E]" in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page) and "default-src &#x27;none&#x27;" in page
    assert "@example.org" not in page, "private things are masked on the page"
    private = next(one for one in whole["complete"] if one["code"] == "D501")
    assert len(private["rows"]) == 20 and private["all_rows"] == {"t.csv": private["all_rows"]["t.csv"]} and sorted(private["all_rows"]["t.csv"]) == list(range(151, 181)), "every row, not the first twenty"
    assert [entry["row"] for entry in slices["women"]] == [4]
    assert 'class="tokens"' in page and "learned" in page and "histogram" in result["lengths"] and sum(result["lengths"]["histogram"]["counts"]) == result["summary"]["train"]["rows"]
    assert any(one["groups"] for one in whole["complete"] if one["code"] in ("D203",)) or "D404" in page


def test_rows_are_shown_as_the_model_sees_them(checked):
    _, page, _, _ = checked
    rows = re.findall(r"<article data-codes.*?</article>", page, re.S)
    rendered = [row for row in rows if "as the model sees it" in row]
    assert len(rendered) > 30 and all('<span class="learned' in row and '<span class="context">' in row for row in rendered)
    assert 'id="label"' in page and all('data-label="' in row for row in rows)
    masked = [row for row in rendered if 'data-codes="D501' in row or "D501" in row.split(">")[0]]
    assert masked and all("•••" in row.split("<details>")[1] for row in masked), "private things are hidden in the tokens too"


def test_quick_leaves_the_doctor_out(checked, tmp_path):
    result = check("t.csv", quick=True).to_dict()
    assert "checks" not in result and not {"D203", "D313", "D514"} & {one["code"] for one in result["findings"]}
    assert {"D514"} <= {one["code"] for one in checked[0]["findings"]}


def test_every_code_has_a_section():
    assert all(section_of(code) in SECTIONS.values() for code in CODES) and section_of("M100") == "other"
