"""The panel of numbers: given against wanted, how often intervals hold, and the answers that are furthest off."""
from collections.abc import Sequence

import numpy as np

from luthier.evaluation.report.document import Block, Prose, Table
from luthier.evaluation.report.escape import short
from luthier.evaluation.report.folder import RunFiles, inner, items, number, word
from luthier.evaluation.report.pictures import cloud


def number_blocks(run: RunFiles, rows: Sequence[dict]) -> list[Block]:
    """Everything about the numbers of the tuned model."""
    found = [(wanted, given, row) for row in rows if (wanted := number(row.get("wanted_value"))) is not None and (given := number(row.get("value"))) is not None]
    if not found:
        return []
    wanted_N, given_N = np.array([item[0] for item in found]), np.array([item[1] for item in found])
    off_N = given_N - wanted_N
    lean = "neither too high nor too low on average" if abs(off_N.mean()) < 0.1 * np.abs(off_N).mean() else f"too {'high' if off_N.mean() > 0 else 'low'} by {abs(off_N.mean()):.3g} on average"
    sentence = f"Answers are off by {np.abs(off_N).mean():.4g} on average, {lean}; the line is the median answer at each wanted number."
    dots = [(wanted, given, f"{word(row.get('row'))}: wanted {wanted:.4g}, given {given:.4g}") for wanted, given, row in found]
    blocks: list[Block] = [cloud("Given and wanted", sentence, dots, "wanted", "given", medians(wanted_N, given_N))]
    inside = [interval[0] <= wanted <= interval[1] for wanted, _, row in found if len(interval := items(row, "interval")) == 2]
    if inside:
        fitted = word(inner(run.facts, "calibration").get("sentence"))
        blocks.append(Prose(f"{np.mean(inside):.0%} of the intervals hold the wanted number{f': {fitted}' if fitted else ''}."))
    worst = sorted(found, key=lambda item: -abs(item[1] - item[0]))[:10]
    lines = [[word(row.get("row")), short(word(row.get("question")), 160), f"{wanted:.4g}", f"{given:.4g}"] for wanted, given, row in worst]
    return [*blocks, Table(["row", "text", "wanted", "given"], lines, frozenset({2, 3}), "The ten that are furthest off")]


def medians(wanted_N: np.ndarray, given_N: np.ndarray) -> list[tuple[float, float]]:
    """Median answer of at most eight stretches of wanted numbers."""
    order = np.argsort(wanted_N, kind="stable")
    parts = np.array_split(order, min(8, max(1, len(order) // 8)))
    return [(float(np.median(wanted_N[part])), float(np.median(given_N[part]))) for part in parts if len(part)]
