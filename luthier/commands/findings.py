"""Errors and findings as a reader meets them: what is wrong, where exactly, what to do."""

from collections.abc import Iterator

from rich.text import Text

from luthier.commands.screen import visible

LEVEL_STYLES = {"error": "bad", "warning": "warn", "info": "key"}
SHOWN_ROWS = 5


def finding_lines(finding: dict) -> Iterator[Text]:
    """The lines of one finding: `error[D110]: empty text in 3 rows`, its place, its hint."""
    level = finding.get("level") or "error"
    yield Text.assemble((level, LEVEL_STYLES.get(level, "bad")), (f"[{finding['code']}]", "code"), f": {visible(finding['message'])}")
    where = place(finding)
    if where:
        yield Text.assemble((" --> ", "faint"), visible(where))
    if finding.get("hint"):
        yield Text.assemble(("hint: ", "key"), visible(finding["hint"]))


def place(finding: dict) -> str:
    """`tickets.csv:911:14 · field text · rows 911, 2044, 3120 +9 more`."""
    spot = str(finding.get("file") or "")
    if spot and finding.get("line"):
        spot += f":{finding['line']}" + (f":{finding['column']}" if finding.get("column") else "")
    parts = [spot] if spot else []
    if finding.get("byte_offset") is not None and not finding.get("line"):
        parts.append(f"byte {finding['byte_offset']:,}")
    if finding.get("field") and spot:
        parts.append(f"field {finding['field']}")
    rows = finding.get("rows") or []
    if rows and not (len(rows) == 1 and finding.get("line")):
        more = max(finding.get("count") or 0, len(rows)) - SHOWN_ROWS
        listed = ", ".join(str(row) for row in rows[:SHOWN_ROWS])
        parts.append(f"row{'s' if len(rows) > 1 else ''} {listed}" + (f" +{more:,} more" if more > 0 else ""))
    return " · ".join(parts)


def error_lines(error: dict, findings: list[dict]) -> Iterator[Text]:
    """An error, and under it the findings that it stands for; one that only repeats the error is left out."""
    yield from finding_lines({**error, "level": "error"})
    for finding in findings:
        if (finding.get("code"), finding.get("message")) != (error["code"], error["message"]):
            yield Text("")
            yield from finding_lines(finding)
