"""Graders in the shape of the hosted API's, patterns and schemas: what they give, and how a wrong one is told."""
import json

import pytest

from luthier.data.records import Message, Prompt
from luthier.errors import RecipeError
from luthier.objectives.rewards import Reward, clean
from luthier.objectives.rewards.grader import of as grader_of
from luthier.objectives.rewards.schema import follows

ASKED = Prompt((Message("user", "2 + 3?"),), "5", {"unit": "drums", "deep": {"er": "x"}})
OUT = "{{sample.output_text}}"


def graded(tmp_path, described: dict, *answers: str) -> list:
    path = tmp_path / "grader.json"
    path.write_text(json.dumps(described))
    return Reward([f"grader:{path}"]).check()(None, [ASKED] * len(answers), answers)


@pytest.mark.parametrize(("operation", "wanted"), [("eq", [1, 0, 0]), ("ne", [0, 1, 1]), ("like", [1, 1, 0]), ("ilike", [1, 1, 0])])
def test_string_check(tmp_path, operation, wanted):
    assert graded(tmp_path, {"type": "string_check", "name": "n", "input": OUT, "reference": "{{item.reference}}", "operation": operation}, "5", "it is 5", "6") == wanted


def test_text_similarity_with_a_threshold(tmp_path):
    described = {"type": "text_similarity", "input": OUT, "reference": "{{ item.unit }} here", "evaluation_metric": "rouge_l", "pass_threshold": 0.6}
    assert graded(tmp_path, described, "drums here", "drums", "none") == [1.0, pytest.approx(2 / 3), 0.0]


def test_unit_tests_share_of_what_holds_and_values_in_patterns_are_literal(tmp_path):
    described = {"type": "unit_tests", "tests": [{"matches": "[0-9]"}, {"contains": "{{item.unit}}"}, {"matches": r"\b{{item.reference}}\b"}, {"equals": "{{item.deep.er}}"}]}
    assert graded(tmp_path, described, "5 drums", "15 drums", "x") == [0.75, 0.5, 0.25]
    literal = grader_of({"type": "unit_tests", "tests": [{"matches": "{{item.price}}"}]}, "grader.json")
    assert [literal({"price": "1.5 (net)"}, answer) for answer in ("it is 1.5 (net).", "it is 125 net")] == [1.0, 0.0]


def test_json_schema(tmp_path):
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 0}}, "additionalProperties": False}
    assert graded(tmp_path, {"type": "json_schema", "schema": schema}, '{"n": 1}', '{"n": -1}', '{"n": true}', '{"n": 1, "m": 2}', "n = 1") == [1, 0, 0, 0, 0]


def test_multi_puts_graders_together(tmp_path):
    inner = {"form": {"type": "regex", "pattern": "^[0-9]+$"}, "right": {"type": "string_check", "input": OUT, "reference": "{{item.reference}}", "operation": "eq"}}
    assert graded(tmp_path, {"type": "multi", "graders": inner, "calculate_output": "0.25 * form + 0.75 * max(right, 0)"}, "5", "6", "x") == [1.0, 0.25, 0.0]


@pytest.mark.parametrize("described", [
    {"type": "oracle"}, {"type": "string_check", "input": "x"}, {"type": "string_check", "input": "x", "reference": "y", "operation": "near"}, {"type": "regex", "pattern": "("},
    {"type": "multi", "graders": {}, "calculate_output": "__import__('os')"}, {"type": "multi", "graders": {}, "calculate_output": "unknown + 1"}, [],
])  # fmt: skip
def test_a_wrong_grader_is_told(tmp_path, described):
    with pytest.raises(RecipeError) as error:
        graded(tmp_path, described, "x")
    assert error.value.code == "R192" and "grader.json" in error.value.message


def test_what_stands_in_data_is_never_run(tmp_path):
    """A slot inside an answer or a column is text, not a template."""
    described = {"type": "string_check", "input": OUT, "reference": "{{item.unit}}", "operation": "eq"}
    assert graded(tmp_path, described, "{{item.unit}}") == [0.0]


def test_patterns_and_their_named_answer():
    reward = Reward([r"regex:is (?P<answer>\d+)", "regex:\\.$"], [1.0, 0.5]).check()
    assert reward(None, [ASKED] * 3, ["it is 5.", "it is 6.", "no"]) == [1.5, 0.5, 0.0]


def test_figures_that_are_none_are_no_rewards():
    assert clean([1, float("nan"), float("inf"), None, -2.5]) == [1.0, None, None, None, -2.5]


@pytest.mark.parametrize(("value", "schema", "good"), [
    ([1, 2], {"type": "array", "items": {"type": "integer"}, "maxItems": 2}, True), ([1, "a"], {"type": "array", "items": {"type": "integer"}}, False), ("ab", {"pattern": "^a"}, True),
    (None, {"type": ["string", "null"]}, True), (3, {"enum": [1, 2]}, False), (3, {"anyOf": [{"const": 3}, {"type": "string"}]}, True), ({"a": 1}, False, False), (1.5, {"type": "integer"}, False),
])  # fmt: skip
def test_schemas(value, schema, good):
    assert follows(value, schema) is good
