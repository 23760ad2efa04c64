"""Panels of labels beyond the confusion: the reliability diagram, and several labels a row."""
from collections.abc import Sequence

import numpy as np

from luthier.evaluation.report.document import Block, Picture, Prose, Table
from luthier.evaluation.report.folder import RunFiles, inner, items, number, word
from luthier.evaluation.report.pictures import NARROW, WIDE, both
from luthier.evaluation.report.svg import Canvas, scale
from luthier.metrics.calibration import diagram, ece
from luthier.metrics.multilabel import scores

FEWEST = 20
"""Rows below which a reliability diagram says nothing."""


# ---- how sure and how right ---------------------------------------------------------------------
def reliability(run: RunFiles, rows: Sequence[dict]) -> list[Block]:
    """The reliability diagram of the tuned model, and what was fitted."""
    pairs = [(sure, float(row.get("answer") == row.get("target"))) for row in rows if (sure := number(row.get("confidence"))) is not None]
    return sure_and_right(run, pairs, "the tuned model is right on {} of the rows")


def sure_and_right(run: RunFiles, pairs: Sequence[tuple[float, float]], says: str) -> list[Block]:
    """A diagram of (confidence, right or not), what was fitted, and a sentence around `says`, which has a place for the share that is right; nothing of too few."""
    if len(pairs) < FEWEST:
        return []
    sure, right = zip(*pairs)
    bins, error = diagram(sure, right), ece(sure, right).value
    sentence = f"Where it is said to be {np.mean(sure):.0%} sure, {says.format(f'{np.mean(right):.0%}')}; bins differ by {error:.3f} on average (calibration error). On the dashed line both are equal."
    blocks: list[Block] = [reliability_picture(bins, sentence)]
    if fitted := word(inner(run.facts, "calibration").get("sentence")):
        blocks.append(Prose(f"Its confidence comes from a {fitted}."))
    return blocks


def reliability_picture(bins: Sequence[dict], sentence: str) -> Picture:
    """A bar a bin: how often answers of that confidence are right."""

    def draw(width: int) -> Canvas:
        height = 300 if width == WIDE else 260
        canvas = Canvas(width, height)
        left, right, top, down = 46, (width - 12 if width == NARROW else 460), 14, height - 40
        x, y = scale(0.0, 1.0, left, right), scale(0.0, 1.0, down, top)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            canvas.line(left, y(share), right, y(share), "grid")
            canvas.text(left - 6, y(share) + 4, f"{share:.0%}", anchor="end")
            canvas.text(x(share), down + 16, f"{share:.0%}", anchor="middle")
        for each in bins:
            start, end = x(each["low"]) + 1, x(each["high"]) - 1
            canvas.box(start, y(each["accuracy"]), end - start, down - y(each["accuracy"]), "point", hover=f"{each['rows']:,} rows: {each['confidence']:.1%} sure, {each['accuracy']:.1%} right")
        canvas.path([(x(0.0), y(0.0)), (x(1.0), y(1.0))], "baseline")
        canvas.text(right, down + 32, "how sure", "small", "end")
        return canvas

    lines = [[f"{each['low']:.1f}–{each['high']:.1f}", f"{each['rows']}", f"{each['confidence']:.4f}", f"{each['accuracy']:.4f}"] for each in bins]
    return both("Sure and right", sentence, draw, ["confidence", "rows", "mean confidence", "share right"], lines)


# ---- several labels -----------------------------------------------------------------------------
def set_blocks(rows: Sequence[dict]) -> list[Block]:
    """Label by label how often it was wanted, given, and both."""
    wanted = [[word(label) for label in items(row, "wanted_labels")] for row in rows]
    given = [[word(label) for label in items(row, "labels")] for row in rows]
    exact = scores(wanted, given)["exact_sets"].value
    labels = sorted({label for row in (*wanted, *given) for label in row})
    lines = []
    for label in labels:
        asked, said = [label in row for row in wanted], [label in row for row in given]
        both_, count, answers = sum(map(lambda a, b: a and b, asked, said)), sum(asked), sum(said)
        f1 = 2 * both_ / (count + answers) if count + answers else 0.0
        lines.append((f1, [label, f"{count:,}", f"{answers:,}", f"{both_ / answers:.2f}" if answers else "–", f"{both_ / count:.2f}" if count else "–", f"{f1:.2f}"]))
    lines.sort(key=lambda line: line[0])
    sentence = f"On {exact:.0%} of the rows just the right labels were given; {np.mean([len(row) for row in given]):.1f} labels a row, where {np.mean([len(row) for row in wanted]):.1f} apply."
    return [Prose(sentence), Table(["label", "wanted", "given", "precision", "recall", "F1"], [cells for _, cells in lines[:40]], frozenset({1, 2, 3, 4, 5}), "Every label, the weakest first")]
