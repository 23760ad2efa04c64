"""The panel of tasks that mark spans: each type's precision and recall, the four kinds of error, and texts with what was wanted and what was found."""
from collections import Counter
from collections.abc import Sequence

from luthier.evaluation.report.document import Block, Marked, Prose, Table
from luthier.evaluation.report.escape import short
from luthier.evaluation.report.folder import items, number, word
from luthier.metrics.spans import ERRORS, by_type, errors_of

SHOWN = 8
LONGEST = 600
"""Characters of a text that are shown."""
MEANING = {
    "missed": "a span was wanted and nothing was found there", "extra": "something was found where nothing was wanted",
    "type": "found in the right place, called something else", "boundary": "found with the right type, but too long or too short",
}


def spans_in(row: dict, key: str) -> list[tuple[int, int, str]]:
    """The spans of a row, whatever else the file holds."""
    found = []
    for item in items(row, key):
        if isinstance(item, list) and len(item) >= 3 and all(number(value) is not None for value in item[:2]):
            found.append((int(item[0]), int(item[1]), word(item[2])))
    return found


def span_blocks(rows: Sequence[dict]) -> list[Block]:
    """Everything about the spans of the tuned model's answers."""
    pairs = [(row, spans_in(row, "wanted_spans"), spans_in(row, "spans")) for row in rows]
    errors, mixed = Counter(), Counter()
    for _, wanted, given in pairs:
        errors.update(errors_of(wanted, given))
        mixed.update((one[2], other[2]) for one in wanted for other in given if one[:2] == other[:2] and one[2] != other[2])
    found = by_type([wanted for _, wanted, _ in pairs], [given for _, _, given in pairs])
    return [Prose(sentence(found, errors)), types_table(found), errors_table(errors), *([mixed_table(mixed)] if mixed else []), *diffs(pairs)]


def sentence(found: dict, errors: Counter) -> str:
    wanted, given = (sum(values[key] for values in found.values()) for key in ("wanted", "answered"))
    wrong = sum(errors.values())
    if not wrong:
        return f"All {wanted:,} spans were found, and nothing else."
    kind, times = max(((kind, errors[kind]) for kind in ERRORS), key=lambda pair: pair[1])
    return f"{given:,} spans were found where {wanted:,} were wanted. Of {wrong:,} errors {times:,} are of the kind “{kind}”: {MEANING[kind]}."


def types_table(found: dict) -> Table:
    lines = [[kind, f"{values['wanted']:,}", f"{values['answered']:,}", *(f"{values[key]:.2f}" for key in ("precision", "recall", "f1"))] for kind, values in sorted(found.items(), key=lambda item: item[1]["f1"])]
    return Table(["type", "wanted", "found", "precision", "recall", "F1"], lines[:30], frozenset({1, 2, 3, 4, 5}), "Every type, the weakest first")


def errors_table(errors: Counter) -> Table:
    return Table(["error", "spans", "what it means"], [[kind, f"{errors[kind]:,}", MEANING[kind]] for kind in ERRORS], frozenset({1}), "Kinds of error")


def mixed_table(mixed: Counter) -> Table:
    return Table(["wanted", "called", "spans"], [[one, other, f"{times:,}"] for (one, other), times in mixed.most_common(10)], frozenset({2}), "Types taken for each other")


def diffs(pairs: Sequence) -> list[Block]:
    """The texts with most errors, marked."""
    wrong = sorted((pair for pair in pairs if set(pair[1]) != set(pair[2])), key=lambda pair: -sum(errors_of(pair[1], pair[2]).values()))[:SHOWN]
    if not wrong:
        return []
    lines = [(place_of(row), segments(word(row.get("question"))[:LONGEST], wanted, given)) for row, wanted, given in wrong]
    return [Marked("What was wanted and what was found, where most went wrong", lines)]


def place_of(row: dict) -> str:
    file, line = word(row.get("file")).rsplit("/", 1)[-1], word(row.get("line"))
    return f"{file}:{line}" if file and line else f"test row {word(row.get('row'))}"


def segments(text: str, wanted: Sequence[tuple], given: Sequence[tuple]) -> list[tuple[str, str, str]]:
    """A text in pieces (text, kind, words): kind is empty, right, missed, extra, or changed where both sides mark it differently."""
    edges = sorted({0, len(text), *(min(len(text), max(0, edge)) for span in (*wanted, *given) for edge in span[:2])})
    found: list[tuple[str, str, str]] = []
    for start, end in zip(edges, edges[1:]):
        one = next((span for span in wanted if span[0] <= start < span[1]), None)
        other = next((span for span in given if span[0] <= start < span[1]), None)
        if one is None and other is None:
            kind, label = "", ""
        elif one == other:
            kind, label = "right", one[2]
        elif one is None or other is None:
            kind, label = ("extra", f"found: {other[2]}") if one is None else ("missed", f"wanted: {one[2]}")
        else:
            kind, label = "changed", f"wanted: {one[2]}, found: {other[2]}" if one[2] != other[2] else f"{one[2]}, other edges"
        found.append((short(text[start:end], LONGEST) if kind else text[start:end], kind, label))
    return found
