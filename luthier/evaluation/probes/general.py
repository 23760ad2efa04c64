"""General text and questions: what ships, or a file of the user's."""
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import DataError, DiskError

FOLDER = Path(__file__).parent
MOST = 400
"""Texts or questions used of a larger file, evenly spread."""


@dataclass(frozen=True)
class Choice:
    """A question with possible endings, of which one is right."""

    question: str
    choices: Sequence[str]
    answer: int


def lines(path: str | None, shipped: str) -> tuple[list[str], str]:
    """Lines of a file (the shipped one where none is named) and its name."""
    place = Path(path) if path else FOLDER / shipped
    try:
        return place.read_text(encoding="utf-8").split("\n"), str(path or "the texts that ship")
    except (OSError, UnicodeDecodeError) as error:
        raise DiskError(f"the file for a probe cannot be read: {error}", code="F101", file=str(place)) from error


def texts(path: str | None) -> list[str]:
    """Passages: of a JSONL file its `text` fields, else stretches divided by blank lines."""
    found, name = lines(path, "general.txt")
    if name.endswith((".jsonl", ".ndjson")):
        rows = [parsed(line, name, number).get("text", "") for number, line in enumerate(found, 1) if line.strip()]
    else:
        rows = [" ".join(part.split()) for part in "\n".join(found).split("\n\n")]
    return spread([row for row in rows if len(row) > 20], name)


def questions(path: str | None) -> list[Choice]:
    """Rows `{question, choices: [...], answer: index}`."""
    found, name = lines(path, "questions.jsonl")
    made = []
    for number, line in enumerate(found, 1):
        if not line.strip():
            continue
        row = parsed(line, name, number)
        choices, answer = row.get("choices"), row.get("answer")
        if not isinstance(choices, list) or len(choices) < 2 or not isinstance(answer, int) or not 0 <= answer < len(choices) or not isinstance(row.get("question"), str):
            raise DataError("a question needs `question`, two or more `choices` and the index of the right one in `answer`", code="D135", file=name, line=number)
        made.append(Choice(row["question"], [str(choice) for choice in choices], answer))
    return spread(made, name)


def parsed(line: str, name: str, number: int) -> dict:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"no JSON: {error}", code="D135", file=name, line=number) from None
    if not isinstance(row, dict):
        raise DataError("a row must be an object of named fields", code="D135", file=name, line=number)
    return row


def spread(rows: list, name: str) -> list:
    if not rows:
        raise DataError(f"{name} holds nothing to probe with", code="D135", file=name)
    return rows if len(rows) <= MOST else [rows[at * len(rows) // MOST] for at in range(MOST)]
