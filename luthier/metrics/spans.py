"""Spans out of tags, and how well the spans of an answer agree with those wanted.

A span counts as right only where its start, its end and its type are all right (the strict reading of CoNLL-2003 and of seqeval). Precision =
right / answered, recall = right / wanted, F1 = 2 right / (answered + wanted), over all types together (micro) or type by type.

Axes: N rows, S parts (three a type: right, answered, wanted).
"""
from collections.abc import Sequence

import numpy as np

from luthier.metrics.metric import Metric, from_parts, mean, same_rows

Chunk = tuple[int, int, str]
"""First word, word after the last, type."""
ERRORS = ("missed", "extra", "type", "boundary")
OUTSIDE = "O"


# ---- tags -----------------------------------------------------------------------------------------
def chunks(tags: Sequence[str]) -> list[Chunk]:
    """The spans that tags mean, whichever dialect they are written in: IOB1, IOB2, BIOES, BILOU, or types alone.

    A span begins at B, S or U, and wherever a type follows another type or nothing; it ends behind E, L, S or U (the rules of conlleval).
    """
    found: list[Chunk] = []
    start, kind, open_ = 0, "", False
    for at, tag in enumerate([*tags, OUTSIDE]):
        prefix, name = parts_of(tag)
        begins = prefix in ("B", "S", "U") or (name != "" and name != kind)
        if open_ and (begins or not name):
            found.append((start, at, kind))
            open_ = False
        if name and (begins or not open_):
            start, open_ = at, True
        kind = name
        if open_ and prefix in ("E", "L", "S", "U"):
            found.append((start, at + 1, kind))
            open_, kind = False, ""
    return found


def parts_of(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag; `O`, `_` and nothing are outside, a tag without a prefix is a type inside a span."""
    if tag in (OUTSIDE, "", "_"):
        return "", ""
    if len(tag) > 2 and tag[1] in "-_" and tag[0] in "BIESLUM":
        return tag[0], tag[2:]
    return "I", tag


def iob2(spans: Sequence[Chunk], length: int) -> list[str]:
    """Tags of so many words in IOB2."""
    tags = [OUTSIDE] * length
    for start, end, kind in spans:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


# ---- agreement --------------------------------------------------------------------------------------
def scores(targets: Sequence[Sequence[Chunk]], answers: Sequence[Sequence[Chunk]]) -> dict[str, Metric]:
    """All figures by name: span_f1, span_precision, span_recall, macro_span_f1, exact_rows, and errors of each kind per row."""
    same_rows(targets, answers)
    kinds = types_of(targets, answers)
    parts_NS = counts(targets, answers, kinds)
    row_f1 = f1_of(parts_NS)
    # a row without any span, wanted or answered, is answered rightly
    row_f1 = np.where(parts_NS.sum(1) == 0, 1.0, row_f1)
    found = {
        "span_f1": from_parts("span_f1", parts_NS, f1_of, per_row=row_f1),
        "span_precision": from_parts("span_precision", parts_NS, lambda sums: share_of(sums, 1), per_row=share_of(parts_NS, 1)),
        "span_recall": from_parts("span_recall", parts_NS, lambda sums: share_of(sums, 2), per_row=share_of(parts_NS, 2)),
        "macro_span_f1": from_parts("macro_span_f1", parts_NS, macro_f1_of, per_row=row_f1),
        "exact_rows": mean("exact_rows", [float(set(target) == set(answer)) for target, answer in zip(targets, answers)]),
    }
    kinds_NE = np.array([[errors_of(target, answer)[kind] for kind in ERRORS] for target, answer in zip(targets, answers)], dtype=float)
    for at, kind in enumerate(ERRORS):
        found[f"errors_{kind}"] = mean(f"errors_{kind}", kinds_NE[:, at], higher_is_better=False)
    return found


def types_of(*sides: Sequence[Sequence[Chunk]]) -> list[str]:
    """Every type that occurs, sorted."""
    return sorted({kind for side in sides for row in side for _, _, kind in row})


def counts(targets: Sequence[Sequence[Chunk]], answers: Sequence[Sequence[Chunk]], kinds: Sequence[str]) -> np.ndarray:
    """[N, 3 x types] right, answered and wanted spans of each type in each row."""
    number = {kind: index for index, kind in enumerate(kinds)}
    parts_NS = np.zeros((len(targets), 3 * max(1, len(kinds))))
    for row, (target, answer) in enumerate(zip(targets, answers)):
        for column, spans in enumerate((set(target) & set(answer), set(answer), set(target))):
            for _, _, kind in spans:
                parts_NS[row, 3 * number[kind] + column] += 1
    return parts_NS


def f1_of(sums_RS: np.ndarray) -> np.ndarray:
    """Micro F1 [R] of counts [R, 3 x types]; 0 where there is nothing."""
    right, answered, wanted = (sums_RS[:, start::3].sum(1) for start in range(3))
    return divided(2 * right, answered + wanted)


def share_of(sums_RS: np.ndarray, below: int) -> np.ndarray:
    """Right spans as a share of the answered (1) or the wanted ones (2)."""
    return divided(sums_RS[:, 0::3].sum(1), sums_RS[:, below::3].sum(1))


def macro_f1_of(sums_RS: np.ndarray) -> np.ndarray:
    """Mean over types of their F1 [R]."""
    return divided(2 * sums_RS[:, 0::3], sums_RS[:, 1::3] + sums_RS[:, 2::3]).mean(1)


def divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below > 0)


def by_type(targets: Sequence[Sequence[Chunk]], answers: Sequence[Sequence[Chunk]]) -> dict[str, dict]:
    """Type -> {precision, recall, f1, wanted, answered}."""
    kinds = types_of(targets, answers)
    sums = counts(targets, answers, kinds).sum(0)
    found = {}
    for index, kind in enumerate(kinds):
        right, answered, wanted = sums[3 * index : 3 * index + 3].tolist()
        found[kind] = {
            "precision": right / answered if answered else 0.0, "recall": right / wanted if wanted else 0.0,
            "f1": 2 * right / (answered + wanted) if answered + wanted else 0.0, "wanted": int(wanted), "answered": int(answered),
        }
    return found


def errors_of(target: Sequence[Chunk], answer: Sequence[Chunk]) -> dict[str, int]:
    """How many spans of a row went wrong in which way.

    boundary: an answered span of the right type that overlaps the wanted one without being it; type: the right place with the wrong type
    (or overlapping with the wrong one); missed: a wanted span that no answer touches; extra: an answered span that touches no wanted one. Each
    wanted and each answered span is counted once at most.
    """
    found = dict.fromkeys(ERRORS, 0)
    wanted = [span for span in target if span not in set(answer)]
    given = [span for span in answer if span not in set(target)]
    for rule in (same_place, same_type_overlaps, overlaps):
        for span in list(wanted):
            if (other := next((each for each in given if rule(span, each)), None)) is not None:
                found["type" if span[2] != other[2] else "boundary"] += 1
                wanted.remove(span)
                given.remove(other)
    # what is left may still touch a span that was paired with another: it is missed or extra all the same
    found["missed"], found["extra"] = len(wanted), len(given)
    return found


def same_place(one: Chunk, other: Chunk) -> bool:
    return one[:2] == other[:2]


def overlaps(one: Chunk, other: Chunk) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def same_type_overlaps(one: Chunk, other: Chunk) -> bool:
    return overlaps(one, other) and one[2] == other[2]
