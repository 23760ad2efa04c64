"""What is wrong with data, told with its exact place: findings, their codes, and the tally that counts all and shows twenty."""
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

SHOWN = 20
LISTED = 5
LONGEST_RAW = 1 << 16

CODES = {
    "D100": "row that cannot be read",
    "D101": "characters that are not UTF-8 text",
    "D102": "row longer than the limit",
    "D103": "row that is not an object of named fields",
    "D104": "number that JSON has no word for, or too large to hold",
    "D105": "key that stands twice in one object",
    "D106": "values nested too deeply",
    "D107": "row with more or fewer fields than the header",
    "D108": "header that does not name the columns",
    "D109": "file that changed, ended early or is damaged",
    "D110": "empty text or answer",
    "D111": "role that is missing or unknown",
    "D112": "columns that are not used",
    "D113": "columns that cannot be understood",
    "D114": "rows of different kinds in one file",
    "D115": "value that is missing or null",
    "D116": "value of the wrong type",
    "D117": "messages that are null or not a list",
    "D118": "conversation without messages",
    "D119": "message without content",
    "D120": "too few rows",
    "D121": "split without rows",
    "D122": "few test rows",
    "D123": "conversation without an assistant turn",
    "D124": "two turns of one side in a row",
    "D125": "conversation that does not end with the assistant",
    "D126": "system message in the middle",
    "D127": "tool call without a result, or result without a call",
    "D128": "conversation in which every assistant turn has weight 0",
    "D130": "file or data set that cannot be found",
    "D131": "format that is not read",
    "D132": "hub that does not answer or does not allow",
    "D133": "note on how a file was read",
    "D136": "labels beside texts that are learned as plain text",
    "D140": "answer that is cut off",
    "D141": "placeholder text",
    "D142": "answer that repeats the question",
    "D143": "boilerplate answers",
    "D150": "rows that the target cannot hold",
    "D151": "file that is no key",
    "D152": "decision that is none",
    "D160": "pair that does not part at its last answer",
    "D161": "rating that is neither good nor bad",
    "D162": "pair of the same answer twice",
    "D163": "pairs that contradict each other",
    "D164": "answers chosen by their length",
    "D165": "prompts that stand more than once",
    "D201": "exact duplicates",
    "D202": "one input with different labels",
    "D203": "near duplicates",
    "D204": "ids that stand twice",
    "D205": "one question with different answers",
    "D301": "single class",
    "D302": "label with few rows",
    "D303": "imbalanced labels",
    "D304": "label that is missing from a split",
    "D305": "label that is written in its text",
    "D306": "label that is not in the set",
    "D307": "labels that differ only in spelling",
    "D308": "labels with nearly one name",
    "D309": "labels that are probably wrong",
    "D311": "answers that do not fit their question",
    "D312": "people spoken of unevenly",
    "D313": "whom the rows speak of",
    "D315": "varieties of one language",
    "D316": "labels that go with where a row comes from",
    "D317": "labels that the length gives away",
    "D340": "words and tags that do not go together",
    "D341": "place in a text that is not one",
    "D342": "class numbers without names",
    "D343": "place that cuts a word",
    "D401": "rows that stand in two splits",
    "D402": "no validation rows",
    "D403": "split far from the shares asked for",
    "D404": "near copies in two splits",
    "D405": "rows of a named benchmark",
    "D406": "rows from after the test",
    "D407": "one source on both sides of the split",
    "D501": "what looks private",
    "D502": "mixed languages",
    "D504": "text that all rows begin or end with",
    "D505": "broken characters",
    "D506": "invisible characters",
    "D507": "text that gives orders to a model",
    "D508": "rare phrase tied to one label or answer",
    "D509": "repeated turns",
    "D510": "control tokens in the text",
    "D511": "tool calls that cannot be read",
    "D512": "one template",
    "D513": "topics that training lacks",
    "D514": "how much there is to learn from",
    "D515": "how the rows spread over topics",
    "D516": "what the rows are made of",
}
"""Every code of this part, with the words that the ledger and the lists use."""


@dataclass(slots=True)
class Finding:
    """One thing found in the data. `line` and `column` are 1-based (column in characters), `byte_offset` is 0-based."""

    code: str
    level: Literal["error", "warning", "info"]
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    byte_offset: int | None = None
    field: str | None = None
    """JSON path or CSV header."""
    rows: list[int] | None = None
    """1-based record numbers, the first 20."""
    count: int | None = None
    """How many rows it concerns in all."""
    hint: str = ""
    raw: str | None = None
    """The row as it stands in the file; only for rejected.jsonl."""
    fatal: bool = False
    """Reading cannot go on after it, so it stops the work even where bad rows are skipped."""

    def to_dict(self) -> dict:
        """The stable JSON shape."""
        names = ("code", "level", "message", "file", "line", "column", "byte_offset", "field", "rows", "count", "hint")
        return {name: getattr(self, name) for name in names}

    @property
    def row(self) -> int:
        """The record number of a finding about one row."""
        return self.rows[0] if self.rows else 0


class Tally:
    """Findings about single rows, gathered: every one counted, the first 20 of each code kept with their place."""

    def __init__(self):
        self.kept: dict[tuple[str, str], list[Finding]] = {}
        self.counts: dict[tuple[str, str], int] = {}

    def add(self, finding: Finding) -> None:
        key = (finding.code, finding.level)
        self.counts[key] = self.counts.get(key, 0) + 1
        kept = self.kept.setdefault(key, [])
        if len(kept) < SHOWN:
            finding.raw = None
            kept.append(finding)

    def errors(self) -> int:
        """How many errors were counted."""
        return sum(count for (_, level), count in self.counts.items() if level == "error")

    def findings(self) -> list[Finding]:
        """Errors one by one, the first 20 of each code, and one more that says how many there are; warnings about rows as one finding per code."""
        result = []
        for code, level in sorted(self.kept):
            kept, count = self.kept[code, level], self.counts[code, level]
            rows = [finding.row for finding in kept]
            if level == "warning" and count > 1 and kept[0].column is None:
                result.append(_joined(kept, rows, count))
                continue
            result += kept
            if count > len(kept):
                result.append(Finding(code, level, f"{CODES[code]}: {count:,} in all, the first {len(kept)} are shown", rows=rows, count=count))
        return result


def _joined(kept: list[Finding], rows: list[int], count: int) -> Finding:
    """One finding for rows that the same is wrong with."""
    first = kept[0]
    lines = [f"{finding.line:,}" for finding in kept if finding.line][:LISTED]
    where = f" (lines {', '.join(lines)}{' ...' if count > len(lines) else ''})" if lines else ""
    message = f"{CODES[first.code]}: {count:,} rows{where}; the first: {first.message}"
    return Finding(first.code, first.level, message, first.file, first.line, None, first.byte_offset, first.field, rows, count, first.hint)


LEVELS = ("error", "warning", "info")


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes; by code and place within each."""
    return sorted(findings, key=lambda f: (LEVELS.index(f.level), f.code, f.file is None, f.file or "", f.line or f.row or 1 << 60))
