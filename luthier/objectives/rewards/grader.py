"""`grader:FILE.json`: a grader in the shape of the hosted API's: string_check, text_similarity, multi, and here also regex, json_schema and unit_tests.

Templates `{{sample.output_text}}`, `{{item.COLUMN}}` and `{{item.reference}}` are filled in by plain substitution, never evaluated. A `multi` grader's
`calculate_output` is a formula of names, numbers and + - * / ( ) min max, read by a parser of its own.
"""
import ast
import json
import operator
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from luthier.data.records import Prompt
from luthier.errors import RecipeError
from luthier.metrics import text as texts
from luthier.objectives.rewards.schema import follows

BOUNDED = True
Grade = Callable[[dict, str], float]
SLOT = re.compile(r"\{\{\s*(sample|item)\.([A-Za-z_][\w.]*)\s*\}\}")
CHECKS = {"eq": operator.eq, "ne": operator.ne, "like": lambda a, b: b in a, "ilike": lambda a, b: b.lower() in a.lower()}
SIMILAR = {"rouge_l": texts.rouge_l, "chrf": texts.chrf, "exact_match": texts.exact_match}
ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def check(path: str, reward) -> Grade:
    """The grader of a file; RecipeError R192 with what is wrong in it."""
    try:
        described = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"the grader {path} cannot be read: {error.strerror}", code="R192", file=path, field="objective.rewards") from None
    except ValueError as error:
        raise RecipeError(f"the grader {path} is no JSON: {error}", code="R192", file=path, field="objective.rewards") from None
    return of(described, path)


def make(path: str, reward):
    one = check(path, reward)

    def grade(task, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return [one(item_of(prompt), answer) for prompt, answer in zip(prompts, answers, strict=True)]

    return grade


def item_of(prompt: Prompt) -> dict:
    """What `item.` can name: the row's columns and its reference."""
    return {**prompt.item, "reference": prompt.reference}


def of(described: dict, path: str) -> Grade:
    """A function from item and answer to a figure."""
    kind = described.get("type") if isinstance(described, dict) else None
    if kind not in KINDS:
        raise RecipeError(f"{path} holds a grader of type {kind!r}", code="R192", file=path, hint=f"types are: {', '.join(KINDS)}")
    try:
        return KINDS[kind](described, path)
    except KeyError as error:
        raise RecipeError(f"the {kind} grader of {path} lacks {error}", code="R192", file=path) from None


def filled(template: str, item: dict, answer: str, *, escape: bool = False) -> str:
    """A template with its slots filled; a slot that names nothing is empty. `escape`: the template is a pattern, in which values stand for themselves."""

    def value(match: re.Match) -> str:
        if match[1] == "sample":
            return answer if match[2] == "output_text" else ""
        found = item
        for part in match[2].split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return "" if found is None else found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return SLOT.sub((lambda match: re.escape(value(match))) if escape else value, template)


# ---- kinds --------------------------------------------------------------------------------------
def string_check(described: dict, path: str) -> Grade:
    """1 where `input` and `reference` stand in the relation `operation`: eq, ne, like (contains), ilike (contains, whatever the case)."""
    if described["operation"] not in CHECKS:
        raise RecipeError(f"{path}: operation {described['operation']!r} is none of {', '.join(CHECKS)}", code="R192", file=path)
    check = CHECKS[described["operation"]]
    return lambda item, answer: float(check(filled(described["input"], item, answer).strip(), filled(described["reference"], item, answer).strip()))


def text_similarity(described: dict, path: str) -> Grade:
    """How close `input` is to `reference`, 0 to 1, by `evaluation_metric`; below `pass_threshold` it is 0."""
    name = described["evaluation_metric"]
    if name not in SIMILAR:
        raise RecipeError(f"{path}: evaluation_metric {name!r} is none of {', '.join(SIMILAR)}", code="R192", file=path)
    scale, least = (100.0 if name == "chrf" else 1.0), float(described.get("pass_threshold", 0.0))

    def grade(item: dict, answer: str) -> float:
        value = SIMILAR[name]([filled(described["reference"], item, answer)], [filled(described["input"], item, answer)]).value / scale
        return value if value >= least else 0.0

    return grade


def regex(described: dict, path: str) -> Grade:
    """1 where `pattern` is found in `input` (the whole answer by default)."""
    try:
        compiled = re.compile(described["pattern"], re.S)
    except re.error as error:
        raise RecipeError(f"{path}: pattern is no regular expression: {error}", code="R192", file=path) from None
    return lambda item, answer: float(compiled.search(filled(described.get("input", "{{sample.output_text}}"), item, answer)) is not None)


def json_schema(described: dict, path: str) -> Grade:
    """1 where the answer is JSON that follows `schema`."""
    schema = described["schema"]

    def grade(item: dict, answer: str) -> float:
        try:
            value = json.loads(answer)
        except ValueError:
            return 0.0
        return float(follows(value, schema))

    return grade


def unit_tests(described: dict, path: str) -> Grade:
    """The share of `tests` that hold for the answer: each {equals|contains|matches: TEMPLATE}."""
    checks = {"equals": lambda answer, wanted: answer.strip() == wanted.strip(), "contains": lambda answer, wanted: wanted in answer, "matches": lambda answer, wanted: re.search(wanted, answer) is not None}
    tests = [(checks[name], wanted) for test in described["tests"] for name, wanted in test.items()]
    return lambda item, answer: sum(check(answer, filled(wanted, item, answer, escape=check is checks["matches"])) for check, wanted in tests) / max(1, len(tests))


def multi(described: dict, path: str) -> Grade:
    """Several graders by name, put together by `calculate_output`."""
    graders = described["graders"]
    named = {name: of(inner, path) for name, inner in (graders.items() if isinstance(graders, dict) else ((one["name"], one) for one in graders))}
    formula = ast.parse(described["calculate_output"], mode="eval").body
    value_of(formula, dict.fromkeys(named, 1.0), path)
    return lambda item, answer: value_of(formula, {name: grade(item, answer) for name, grade in named.items()}, path)


def value_of(node: ast.AST, values: dict[str, float], path: str) -> float:
    """The value of a formula of names, numbers and plain arithmetic."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in values:
        return values[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        right = value_of(node.right, values, path)
        if isinstance(node.op, ast.Div) and right == 0:
            return float("nan")
        return ARITHMETIC[type(node.op)](value_of(node.left, values, path), right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -value_of(node.operand, values, path)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max") and node.args:
        return {"min": min, "max": max}[node.func.id](value_of(argument, values, path) for argument in node.args)
    raise RecipeError(f"{path}: calculate_output holds `{ast.unparse(node)}`; allowed are grader names, numbers, + - * /, min and max", code="R192", file=path)


KINDS = {"string_check": string_check, "text_similarity": text_similarity, "regex": regex, "json_schema": json_schema, "unit_tests": unit_tests, "multi": multi}
