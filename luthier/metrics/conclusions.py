"""Right or wrong by what an answer comes to, however it gets there: the last thing that a pattern finds (a sum's result, a chosen letter), or the value of its JSON.

Taking what is found last, and numbers without their thousands marks, is how GSM8K (arXiv:2110.14168) is scored.
"""
import json
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from luthier.metrics.metric import Metric, mean, same_rows
from luthier.metrics.text import normalised


def conclusion(text: str, pattern: re.Pattern) -> str | None:
    """What the last match finds: its group `answer`, else its first group, else all of it; None where nothing is found."""
    matches = list(pattern.finditer(text))
    if not matches:
        return None
    return matches[-1]["answer" if "answer" in pattern.groupindex else min(pattern.groups, 1)]


def same_conclusion(one: str, other: str) -> bool:
    """Equal as numbers where both are numbers (1,200 is 1200.0), else equal after `normalised`."""
    numbers = number(one), number(other)
    return numbers[0] == numbers[1] if None not in numbers else normalised(one) == normalised(other)


def number(text: str) -> Decimal | None:
    """The number that a text is, thousands marks, a currency or percent sign and a last full stop apart; None for anything else."""
    try:
        found = Decimal(text.strip().strip("$€£%").rstrip(".").replace(",", "").strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def correct(references: Sequence[str], candidates: Sequence[str], pattern: re.Pattern) -> Metric:
    """Share of answers that come to what their reference comes to. Every reference has a match."""
    same_rows(references, candidates)
    found = [(conclusion(reference, pattern), conclusion(candidate, pattern)) for reference, candidate in zip(references, candidates)]
    return mean("correct", [float(answer is not None and same_conclusion(wanted, answer)) for wanted, answer in found])


def structured(text: str):
    """The object or list that a text is as JSON, None for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def json_match(references: Sequence[str], candidates: Sequence[str]) -> Metric | None:
    """Share of answers that are JSON of the same value as their reference, order of keys and spacing apart; None unless all references are objects or lists."""
    same_rows(references, candidates)
    wanted = [structured(reference) for reference in references]
    if not wanted or None in wanted:
        return None
    return mean("json_match", [float(same_json(value, structured(candidate))) for value, candidate in zip(wanted, candidates)])


def same_json(one, other) -> bool:
    """Equal values; true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)
