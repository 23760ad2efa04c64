"""Pairs and sums of the sample world: the same for a seed, worse in a plain way that length does not tell, right by arithmetic."""
import json
import re

from luthier.data import samples
from luthier.data.samples import sums
from luthier.objectives.rewards import Reward


def test_pairs_differ_in_more_than_length():
    rows = samples.generate("preferences", rows=400, seed=1)
    assert rows == samples.generate("preferences", rows=400, seed=1)
    assert all(row["chosen"] != row["rejected"] for row in rows)
    longer = sum(len(row["chosen"]) > len(row["rejected"]) for row in rows) / len(rows)
    assert 0.3 < longer < 0.7 and {row["fault"] for row in rows} == {"wrong", "curt", "rambling"}


def test_sums_are_right():
    for row in samples.generate("sums", rows=300, seed=2):
        slots = row["slots"]
        right = int(slots["a"]) + int(slots["b"]) if slots["kind"] == "add" else int(slots["a"]) - int(slots["b"])
        assert int(row["reference"]) == right > 0 and row["instrument"] in row["prompt"]
        assert [slots["a"], slots["b"]] == re.findall(r"\d+", row["prompt"]) or [slots["b"], slots["a"]] == re.findall(r"\d+", row["prompt"])


def test_the_grader_that_lies_beside_them(tmp_path):
    path = samples.write(tmp_path, kind="sums", rows=20, seed=3)
    row = json.loads(path.read_text().splitlines()[0])
    from luthier.data.records import Message, Prompt

    prompt = Prompt((Message("user", row["prompt"]),), row["reference"], {"instrument": row["instrument"]})
    reward = Reward([f"grader:{tmp_path / 'sums.grader.json'}"]).check()
    answers = [f"There are {row['reference']} {row['instrument']}.", f"There are 99 {row['instrument']}.", "I do not know."]
    assert reward(None, [prompt] * 3, answers) == [1.0, 0.75, 0.25] and sums.GRADER["type"] == "unit_tests"
