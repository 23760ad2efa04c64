"""Pairs, ratings and prompts in the spellings that people use; what is wrong with them is told with its place."""
import json
from dataclasses import replace

import pytest

from luthier.data.canonical import from_dict, to_json
from luthier.data.checks import contradictions, length_bias, repeated_prompts, same_answers
from luthier.data.dataset import build
from luthier.data.judgements import Judgements
from luthier.data.records import Message, Origin, Preference, Prompt, Rated
from luthier.data.settings import DataSettings
from luthier.data.sources.rows import Row
from luthier.data.spellings import convert, guess
from luthier.data.split import hash_of
from luthier.errors import DataError

USER, GOOD, POOR = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "poor"}
PAIRS = {
    "TRL texts": {"prompt": "hi", "chosen": "good", "rejected": "poor"},
    "TRL messages": {"prompt": [USER], "chosen": [GOOD], "rejected": [POOR]},
    "TRL without a prompt": {"chosen": [USER, GOOD], "rejected": [USER, POOR]},
    "whole talks beside the prompt": {"prompt": "hi", "chosen": [USER, GOOD], "rejected": [USER, POOR]},
    "OpenAI": {"input": {"messages": [USER], "tools": []}, "preferred_output": [GOOD], "non_preferred_output": [POOR]},
    "transcripts": {"chosen": "\n\nHuman: hi\n\nAssistant: good", "rejected": "\n\nHuman: hi\n\nAssistant: poor"},
    "Alpaca": {"instruction": "hi", "input": "", "output": "good", "chosen": "good", "rejected": "poor"},
}
RATINGS = {
    "TRL": {"prompt": "hi", "completion": "good", "label": True},
    "messages": {"messages": [USER, GOOD], "rating": "up"},
    "TRL messages": {"prompt": [USER], "completion": [GOOD], "label": True},
}
PROMPTS = {
    "bare": {"prompt": "hi", "level": 3},
    "messages": {"messages": [USER], "level": 3},
    "a last answer is the reference": {"messages": [USER, GOOD], "level": 3},
    "a column of references": {"prompt": "hi", "answer": "good", "level": 3},
}


def read(values: dict, record: type | None = None):
    rows = [Row(values, number, 0, number, "f.jsonl") for number in (1, 2)]
    return convert(rows[0], guess(rows, "f.jsonl", record=record))


@pytest.mark.parametrize("spelling", PAIRS)
def test_pairs(spelling):
    found = read(PAIRS[spelling])
    assert (found.messages, found.chosen, found.rejected) == ((Message("user", "hi"),), "good", "poor")


@pytest.mark.parametrize("spelling", RATINGS)
def test_ratings(spelling):
    assert read(RATINGS[spelling]) == Rated((Message("user", "hi"),), "good", True, Origin("f.jsonl", 1, 1))


@pytest.mark.parametrize("spelling", PROMPTS)
def test_prompts(spelling):
    found = read(PROMPTS[spelling], Prompt)
    assert found.messages == (Message("user", "hi"),) and found.item == {"level": 3}
    assert found.reference == ("good" if "reference" in spelling else None)


@pytest.mark.parametrize("record", [
    Preference((Message("user", "é"),), "a", "b", Origin("f", 2, 2)), Rated((Message("user", "x"),), "a", False), Prompt((Message("user", "x"),), None, {"n": 1}, Origin("f", None, 3), "g"),
])  # fmt: skip
def test_on_disk_and_back(record):
    assert from_dict(json.loads(to_json(record)), type(record)) == record


def test_talks_that_part_early_are_told():
    early = {"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, POOR, USER, POOR]}
    found = read(early)
    assert (found.code, found.line) == ("D160", 1) and "part before their last answer" in found.message


def test_cross_entropy_on_pairs_says_what_to_set():
    from luthier.data.records import Conversation

    with pytest.raises(DataError) as error:
        read({"prompt": "hi", "chosen": "good", "rejected": "poor"}, Conversation)
    assert "objective: dpo" in error.value.hint


def judged(*records) -> Judgements:
    found = Judgements()
    for number, record in enumerate(records, 1):
        found.see(replace(record, origin=Origin("f", number, number)), hash_of(record.messages[0].content))
    return found


def pair(asked: str, chosen: str, rejected: str) -> Preference:
    return Preference((Message("user", asked),), chosen, rejected)


def test_one_answer_twice():
    assert same_answers.check(pair("x", "a  b", "a b")).code == "D162"
    assert same_answers.check(pair("x", "a b", "a c")) is None


def test_contradictions():
    found = list(contradictions.check(judged(pair("x", "a", "b"), pair("y", "a", "b"), pair("x", "b", "a"))))
    assert [(one.code, one.rows) for one in found] == [("D163", [1, 3])]
    rated = [Rated((Message("user", "x"),), "a", good) for good in (True, False)]
    assert next(contradictions.check(judged(*rated))).rows == [1, 2]
    assert not list(contradictions.check(judged(pair("x", "a", "b"), pair("y", "b", "a"))))


def test_length_bias():
    biased = [pair(str(number), "a long answer", "short") for number in range(60)]
    assert "longer answer is the chosen one in 100%" in next(length_bias.check(judged(*biased))).message
    assert not list(length_bias.check(judged(*biased[:30], *[pair(f"y{number}", "short", "a long answer") for number in range(30)])))


def test_repeated_prompts():
    assert next(repeated_prompts.check(judged(*[pair("x", str(number), "b") for number in range(10)]))).count == 9
    assert not list(repeated_prompts.check(judged(*[pair(str(number), "a", "b") for number in range(10)])))


def test_the_doctor_leaves_no_pair_unaccounted(tmp_path):
    rows = [{"prompt": f"q{number}", "chosen": "yes", "rejected": "yes" if number == 7 else "no"} for number in range(40)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = build(DataSettings(train=str(path), on_bad_row="skip"), record=Preference, folder=tmp_path / "data")
    assert sum(data.count(split) for split in ("train", "validation", "test")) == 39
    assert any(finding["code"] == "D162" and finding["line"] == 8 for finding in data.findings)


def test_real_pairs_are_read(test_data, tmp_path):
    data = build(DataSettings(train=str(test_data / "preference/anthropics__hh-rlhf/harmless-base/test.jsonl.gz"), on_bad_row="skip"), record=Preference, folder=tmp_path / "data")
    accounts = [account.to_dict() for account in data.ledger.values()]
    assert sum(account["rows_in"] for account in accounts) == 2312 and sum(account["used"] for account in accounts) == 2303
