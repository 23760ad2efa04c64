"""Every domain story has a recipe that can be read, and data that its recipe can learn from."""
import json
import re
from pathlib import Path

import pytest
import torch

import luthier
from luthier.verbs import recipe
from recipes.domains.prepare import NUMBERS, STORIES, deidentified, first_sentences

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "domains"


def test_every_story_has_its_recipe_and_its_line():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(STORIES)
    page = (FOLDER / "README.md").read_text()
    for name in STORIES:
        found, _ = recipe.load(FOLDER / f"{name}.yaml")
        assert found.task.name in ("chat", "classification") and f"| `{name}` |" in page
        assert f"recipes.domains.prepare {name} build/{name}" in (FOLDER / f"{name}.yaml").read_text()


@pytest.mark.parametrize("story", STORIES)
def test_its_data_can_be_read(story, tmp_path, monkeypatch, request):
    torch.set_num_threads(1)
    data = None if story in ("shop", "reports") else request.getfixturevalue("test_data")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "build" / story
    folder.mkdir(parents=True)
    assert all(count > 0 for count in STORIES[story](folder, data).values())
    checked = luthier.check(str(FOLDER / f"{story}.yaml"), {"data.max_rows": 120}, quick=True).to_dict()
    assert checked["ledger"]["train"]["used"] > 40


def test_no_company_of_a_test_row_was_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "build" / "reports"
    folder.mkdir(parents=True)
    STORIES["reports"](folder, None)
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    papers = (folder / "documents.jsonl").read_text()
    for row in rows:
        number = re.search(r"\d+(\.\d)?", row["messages"][1]["content"]).group()
        assert number in papers and number not in row["messages"][0]["content"]
    assert len({row["company"] for row in rows}) == 48 and recipe.load(FOLDER / "reports.yaml")[0].data.group == "company"


def test_private_numbers_are_taken_out():
    assert deidentified("Write to a.b@example.com or call +1 202 555 0147 before 1/2/2020.") == ("Write to [removed] or call [removed] before [removed].", 3)
    assert NUMBERS.sub("[removed]", "Call 555-010-2000 before 1/2/2020 or write to a.b@c.org.") == "Call [removed] before [removed] or write to [removed]."
    assert first_sentences("One two three. Four five six. Seven.", 6) == "One two three. Four five six."
