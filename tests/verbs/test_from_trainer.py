"""The recipes for those who come from a Trainer script: `check` names the script's two faults, both recipes train, and the page says nothing that is not so."""
import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

import luthier
from luthier.commands.explain import codes
from luthier.training.settings import TrainingSettings
from luthier.verbs import recipe as reading

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "from_trainer"
GOOD, BAD = ["a warm film", "well played", "I laughed and cried"], ["a dull film", "badly played", "I wanted to leave"]


@pytest.fixture
def bare_gpt2(tiny_model, tmp_path) -> Path:
    """A tiny GPT-2 whose tokenizer names no padding token, as GPT-2's own."""
    folder = tmp_path / "gpt2"
    shutil.copytree(tiny_model("gpt2"), folder)
    path = folder / "tokenizer_config.json"
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name not in ("pad_token", "chat_template")}
    path.write_text(json.dumps(kept))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    return folder


@pytest.fixture
def reviews(here) -> Path:
    """Texts with 0 or 1 beside them, as IMDB has them."""
    with open(here / "reviews.csv", "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "label"])
        for number in range(45):
            for label, words in ((1, GOOD), (0, BAD)):
                rows.writerow([f"Number {number}: {words[number % 3]}. {words[(number + 1) % 3]}, I must say.", label])
    return here / "reviews.csv"


def told(recipe: str, reviews: Path, model: Path, **more) -> dict:
    torch.set_num_threads(1)
    return luthier.check(str(FOLDER / recipe), {"data.train": str(reviews), "model": str(model), **more}, quick=True).to_dict()


def findings(answer: dict) -> dict[str, dict]:
    return {finding["code"]: finding for finding in answer["findings"]}


def test_check_names_both_faults_of_the_script(reviews, bare_gpt2):
    found = findings(told("reviews-text.yaml", reviews, bare_gpt2))
    assert found["D418"]["level"] == "info" and "<|eos|>" in found["D418"]["message"]
    assert found["D136"]["level"] == "warning" and "`label` (0, 1)" in found["D136"]["message"] and "classification" in found["D136"]["hint"]


def test_where_the_labels_are_learned_nothing_is_said(reviews, bare_gpt2, tiny_model):
    found = findings(told("reviews-sentiment.yaml", reviews, bare_gpt2))
    assert "D136" not in found and "D418" in found
    assert "D418" not in findings(told("reviews-sentiment.yaml", reviews, tiny_model("gpt2")))


def test_other_columns_beside_a_text_are_no_labels(here, bare_gpt2):
    rows = [{"text": f"the story of {number} and a long evening", "lang": "en" if number % 2 else "de", "author": f"a{number % 3}"} for number in range(40)]
    (here / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "D136" not in findings(told("reviews-text.yaml", here / "texts.jsonl", bare_gpt2))


@pytest.mark.parametrize("recipe, headline", [("reviews-text.yaml", "bits_per_character"), ("reviews-sentiment.yaml", "macro_f1")])
def test_both_recipes_train_and_end_in_a_verdict(reviews, bare_gpt2, here, monkeypatch, recipe, headline):
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    done = luthier.train(FOLDER / recipe, {"data.train": str(reviews), "model": str(bare_gpt2), "training.max_steps": 6, "training.threads": 1, "evaluation.resamples": 200})
    assert done.verdict["metric"] == headline and done.verdict["n"] > 5
    steps = [row for row in map(json.loads, (Path(done.folder) / "metrics.jsonl").read_text().splitlines()) if row["kind"] == "train"]
    assert len(steps) == 6 and steps[0]["learning_rate"] == pytest.approx(5e-5) and steps[-1]["learning_rate"] < steps[0]["learning_rate"]


def test_the_recipes_are_the_scripts_numbers():
    for path in FOLDER.glob("*.yaml"):
        made, _ = reading.load(path)
        assert (made.training.epochs, made.training.batch_size, made.training.learning_rate, made.training.schedule) == (3, 8, 5e-5, "linear") and made.method.name == "full"


def test_what_the_page_names_is_there():
    page = (FOLDER / "README.md").read_text()
    fields = {field.name for field in dataclasses.fields(TrainingSettings)}
    named = re.findall(r"training\.([a-z_]+)", page) + re.findall(r"`\.([a-z_]+)`", page)
    assert len(named) >= 9 and set(named) <= fields
    assert set(re.findall(r"`([A-Z]\d{3})`", page)) <= set(codes()) and {path.name for path in FOLDER.glob("*.yaml")} == set(re.findall(r"`(reviews-[a-z]+\.yaml)`", page))
