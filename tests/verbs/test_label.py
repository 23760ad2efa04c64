"""Choices in the terminal become pairs that dpo learns from; judged prompts are not asked again."""
import json
import subprocess
import sys

import pytest

import luthier
from luthier.data.dataset import build
from luthier.data.records import Preference
from luthier.data.settings import DataSettings


@pytest.fixture
def run(here, base, chats):
    luthier.train(str(chats), {"model": str(base), "method": "full", "training.threads": 1, "training.max_steps": 2, "evaluation.contestants": ["tuned"], "evaluation.max_rows": 4, "evaluation.resamples": 200, "training.validation_rows": 2}, name="talks")
    return "talks"


def labelled(words: str, *more: str) -> dict:
    done = subprocess.run([sys.executable, "-m", "luthier", "label", "talks", "--json", *more], input=words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_choices_become_pairs(here, run):
    found = labelled("1\n2\n=\ns\n2\nq\n")
    assert (found["written"], found["first"], found["second"], found["equal"], found["skipped"]) == (3, 1, 2, 1, 1)
    rows = [json.loads(line) for line in open(found["output"])]
    assert len(rows) == 3 and all(row["chosen"] != row["rejected"] for row in rows)
    data = build(DataSettings(train=found["output"], on_bad_row="skip", test=0, validation=0), record=Preference, folder=here / "pairs", strict=False)
    assert data.mapping["style"] == "pairs" and data.count("train") == 3
    again = labelled("1\n", "-n", "1")
    prompts = [json.dumps(json.loads(line)["prompt"]) for line in open(again["output"])]
    assert again["written"] == 1 and len(set(prompts)) == 4
