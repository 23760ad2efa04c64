"""What an answer comes to: the last match of a pattern, numbers as numbers, JSON as values."""
import re

import pytest

from luthier.metrics.conclusions import conclusion, correct, json_match, same_conclusion
from luthier.metrics.text import exact_match

SUM = re.compile(r"#### (.+)")


@pytest.mark.parametrize(("text", "pattern", "found"), [
    ("2 + 3 = 5\n#### 5", r"#### (.+)", "5"),
    ("#### 4, no: #### 5", r"#### (\d+)", "5"),
    ("so the answer is (C).", r"answer is \(?(?P<answer>[A-E])", "C"),
    ("I count 12 apples", r"\d+", "12"),
    ("I do not know", r"#### (.+)", None),
    ("(a) and b", r"(\(a\))?.*(?P<answer>b)", "b"),
])
def test_the_last_match_counts_and_its_group_is_the_answer(text, pattern, found):
    assert conclusion(text, re.compile(pattern)) == found


@pytest.mark.parametrize(("one", "other", "same"), [
    ("1,200", "1200", True), ("$18", "18.00", True), ("18.", "18", True), ("7", "70", False), ("-3", "3", False), ("Paris", " paris.", True), ("Paris", "Lyon", False),
    ("nan", "nan", True), ("5 apples", "5", False), ("1e2", "100", True),
])
def test_numbers_are_compared_as_numbers_and_words_as_words(one, other, same):
    assert same_conclusion(one, other) is same


def test_another_way_to_the_same_result_is_right_and_silence_is_wrong():
    references = ["3 + 4 = 7\n#### 7", "2 * 600 = 1200\n#### 1,200", "1 + 1 = 2\n#### 2", "10 - 1 = 9\n#### 9"]
    candidates = ["4 and 3 are seven\n#### 7", "#### 1200", "1 + 1 = 2", "10 - 1 = 8\n#### 8"]
    found = correct(references, candidates, SUM)
    assert found.per_row.tolist() == [1, 1, 0, 0] and found.value == 0.5
    assert exact_match(references, candidates).value == 0, "the figure sees what likeness of text does not"


def test_json_is_compared_by_value():
    references = ['{"a": 1, "b": [1, 2]}'] * 6
    candidates = ['{"b":[1,2.0],"a":1}', '{"a": 1, "b": [2, 1]}', '{"a": true, "b": [1, 2]}', '{"a": 1}', "a is 1", '{"a": 1, "b": [1, 2]} ']
    assert json_match(references, candidates).per_row.tolist() == [1, 0, 0, 0, 0, 1]
    assert json_match([*references, "plain words"], [*candidates, "plain words"]) is None
    assert json_match(["5"], ["5"]) is None, "a bare number is no structure"


def test_a_deeply_nested_answer_is_wrong_and_breaks_nothing():
    assert json_match(["[1]"], ["[" * 100_000]).value == 0
