"""The files that `check` leaves: check.html to look at, check.json with every row of every finding, slices.json for evaluation."""
from collections.abc import Callable
from pathlib import Path

import numpy as np

from luthier.data.doctor import Examined
from luthier.data.facets import FACETS, of_any
from luthier.data.fixes.private import make as masked
from luthier.data.mending import Options
from luthier.data.private import scan
from luthier.data.split import SPLITS
from luthier.evaluation.report import check_page
from luthier.files import write_file, write_json
from luthier.verbs.fix import rows_at

MOST_ROWS, PER_FINDING, OTHERS, CLUSTERS = 600, 40, 40, 12
LONGEST, RENDERED, MOST_STRETCHES = 700, 240, 60
"""Characters of a row in the browser; rows that are shown as tokens too, and how many stretches of these."""

Render = Callable[[str, int], list[list[str]]]
"""Split and index of a row in it to (text, kind) of its tokens."""


def write(folder: Path, name: str, result: dict, examined: Examined | None, data, render: Render | None = None) -> dict[str, str]:
    """Write the three files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, clusters, complete, slices = [], [], [], {}
    if examined is not None:
        rows, clusters = browsed(examined, data, render)
        complete, slices = examined.complete(), examined.slices
    shown = [{**one, "spans": hidden(one["spans"])} for one in result["shown"]]
    write_file(folder / "check.html", check_page.write(name, {**result, "shown": shown}, rows=rows, clusters=clusters))
    write_json(folder / "check.json", {**result, "complete": complete})
    write_json(folder / "slices.json", slices)
    return {"html": str(folder / "check.html"), "json": str(folder / "check.json"), "slices": str(folder / "slices.json")}


def browsed(examined: Examined, data, render: Render | None = None) -> tuple[list[dict], list[list[dict]]]:
    """Rows for the browser and groups of near copies, private things masked."""
    seen, codes, why = examined.seen, {}, {}
    for found in examined.found:
        for row in found.rows_N[:PER_FINDING].tolist() if found.level != "info" else ():
            if row in codes or len(codes) < MOST_ROWS:
                codes.setdefault(row, []).append(found.code)
                why.setdefault(row, found.why.get(row, ""))
    for row in range(0, len(seen), max(1, len(seen) // OTHERS)):
        codes.setdefault(row, [])
    groups = [group for found in examined.found for group in found.groups if found.code == "D203"][:CLUSTERS]
    texts = rows_at(data, {*codes, *(row for group in groups for row in group[:6])})
    clean, read = masked(Options()), FACETS.get(data.record, of_any)
    short = lambda text: clean(text if len(text) <= LONGEST else text[:LONGEST] + " …")
    starts = np.searchsorted(seen.split_N, range(len(SPLITS)))
    tokens = lambda row: hidden(shortened(render(SPLITS[seen.split[row]], row - int(starts[seen.split[row]])))) if render is not None else []
    shown = []
    for row in sorted(codes, key=lambda row: (not codes[row], row)):
        one = read(texts[row])
        shown.append({
            "file": seen.file_names[seen.file[row]], "line": seen.line[row], "row": seen.number[row], "split": SPLITS[seen.split[row]], "input": short(one.segments[0]), "answer": short(one.segments[1]),
            "label": one.label, "codes": sorted(set(codes[row])), "why": why.get(row, ""), "spans": tokens(row) if len(shown) < RENDERED else [],
        })
    return shown, [[{"where": seen.where(row), "text": short(read(texts[row]).segments[0]) if row in texts else ""} for row in group] for group in groups]


def shortened(spans: list[list[str]]) -> list[list[str]]:
    """Stretches of tokens, long ones cut in the middle so that the edges of the mask stay in sight."""
    half = LONGEST // 2
    return [[text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}", kind] for text, kind in spans[:MOST_STRETCHES]]


def hidden(spans: list[list[str]]) -> list[list[str]]:
    """Tokens with every private thing dotted out, wherever the cuts between tokens fall."""
    whole = list("".join(text for text, _ in spans))
    for span in scan("".join(whole)):
        whole[span.start : span.end] = "•" * (span.end - span.start)
    found, at = [], 0
    for text, kind in spans:
        found.append(["".join(whole[at : at + len(text)]), kind])
        at += len(text)
    return found
