"""Rows that only a person can decide: a small CSV to edit, and back again.

`decision` is filled with what the doctor suggests where it is sure of the alternative, and left `keep` elsewhere. A person writes `keep`, `leave out`, or in the place of a
label the right one (`label: NAME`).
"""
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from luthier.data.doctor import Examined
from luthier.data.facets import FACETS, of_any
from luthier.data.seen import Seen
from luthier.data.sources import Row, Source
from luthier.errors import DataError
from luthier.files import write_file

DOUBTFUL = ("D309", "D308", "D202", "D205", "D311", "D508", "D507", "D404", "D502", "D143")
"""Codes whose rows are asked about, the most doubtful kind first."""
COLUMNS = ("row", "file", "line", "code", "reason", "text", "answer", "label", "suggestion", "decision")
LONGEST = 1000
MOST_ROWS = 200


def doubtful(examined: Examined, most: int = MOST_ROWS) -> list[tuple[int, str, str, str]]:
    """(place, code, reason, suggested label) of the rows to ask about; of each code no more than its share, each row once."""
    found = sorted((one for one in examined.found if one.code in DOUBTFUL and one.level != "info"), key=lambda one: DOUBTFUL.index(one.code))
    share = max(20, most // max(1, len(found)))
    rows: dict[int, tuple[int, str, str, str]] = {}
    for one in found:
        for row in one.rows_N.tolist()[:share]:
            rows.setdefault(row, (row, one.code, one.why.get(row, one.message), one.instead.get(row, "")))
    return list(rows.values())[:most]


def write(path: Path, examined: Examined, source: Source, record: type, texts: dict[int, dict]) -> int:
    """Write the doubtful rows; `texts` holds the canonical row of each place. Returns how many."""
    seen = examined.seen
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    asked = doubtful(examined)
    for place, code, reason, suggestion in asked:
        one = FACETS.get(record, of_any)(texts[place])
        writer.writerow({
            "row": seen.number[place], "file": seen.file_names[seen.file[place]], "line": seen.line[place] or "", "code": code, "reason": safe(reason),
            "text": safe(one.segments[0][:LONGEST]), "answer": safe(one.segments[1][:LONGEST]), "label": safe(one.label or ""), "suggestion": safe(suggestion), "decision": "keep",
        })
    write_file(path, out.getvalue())
    return len(asked)


def safe(text: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def read(path: Path, seen: Seen | None = None) -> dict[int, tuple[str, str]]:
    """Record number -> (`keep`, `leave out` or `label`, the label) of an edited review. Raises DataError D152 with the line of a decision that is none."""
    decisions: dict[int, tuple[str, str]] = {}
    for item in rows_of(path):
        number, decision = item.values.get("row", ""), (item.values.get("decision") or "keep").strip()
        low = decision.lower()
        if not number.isdigit():
            raise DataError(f"`{number}` is no row number", code="D152", file=str(path), line=item.line, field="row", hint="leave the column `row` as --review wrote it")
        if low in ("keep", "ok", "", "yes"):
            decisions[int(number)] = ("keep", "")
        elif low in ("leave out", "drop", "remove", "delete", "no"):
            decisions[int(number)] = ("leave out", "")
        elif low.startswith("label:") and decision[6:].strip():
            decisions[int(number)] = ("label", decision[6:].strip())
        elif low in ("accept", "suggestion") and item.values.get("suggestion"):
            decisions[int(number)] = ("label", item.values["suggestion"].removeprefix("'"))
        else:
            raise DataError(f"`{decision}` is no decision", code="D152", file=str(path), line=item.line, field="decision", hint="write keep, leave out, accept (the suggestion), or label: NAME")
    return decisions


def rows_of(path: Path) -> Iterator[Row]:
    from luthier.data import sources

    for item in sources.read(str(path)):
        if not isinstance(item, Row):
            if item.level == "error":
                raise DataError(item.message, code=item.code, file=item.file, line=item.line, column=item.column, hint=item.hint)
            continue
        if not {"row", "decision"} <= item.values.keys():
            raise DataError(f"{path} lacks the columns row and decision", code="D152", file=str(path), hint="--apply takes the CSV that --review wrote")
        yield item
