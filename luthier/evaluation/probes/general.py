"""General text and questions: what ships, or a file of the user's."""
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from luthier.errors import DataError, DiskError

FOLDER = Path(__file__).parent
LETTERS = "ABCDEFGH"
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
        # Only line ends part lines: JSON and CSV may hold every other sign that str.splitlines would cut at.
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
    """Rows `{question, choices: [...], answer: index}`; OpenBookQA's spelling and MMLU's CSV (question, four options, letter; a folder of such files too) are read as well."""
    if path and (Path(path).is_dir() or path.endswith(".csv")):
        files = sorted(Path(path).glob("*.csv")) if Path(path).is_dir() else [Path(path)]
        return spread([choice for file in files for choice in in_table(file)], path)
    found, name = lines(path, "questions.jsonl")
    return spread([asked_in(parsed(line, name, number), name, number) for number, line in enumerate(found, 1) if line.strip()], name)


def asked_in(row: dict, name: str, number: int) -> Choice:
    """A question of a JSONL row."""
    question, choices, answer = row.get("question"), row.get("choices"), row.get("answer")
    if isinstance(question, dict) and isinstance(question.get("choices"), list) and all(isinstance(choice, dict) for choice in question["choices"]):
        labels = [choice.get("label") for choice in question["choices"]]
        answer = labels.index(row["answerKey"]) if row.get("answerKey") in labels else None
        question, choices = question.get("stem"), [choice.get("text") for choice in question["choices"]]
    if not isinstance(choices, list) or len(choices) < 2 or not isinstance(answer, int) or not 0 <= answer < len(choices) or not isinstance(question, str):
        raise DataError("a question needs `question`, two or more `choices` and the index of the right one in `answer`", code="D135", file=name, line=number)
    return Choice(question, [str(choice) for choice in choices], answer)


def in_table(path: Path) -> list[Choice]:
    """Questions of a CSV without a head: question, options, and the letter of the right one."""
    text, name = lines(str(path), "")
    found = []
    for number, row in enumerate(csv.reader(StringIO("\n".join(text))), 1):
        if not row:
            continue
        letter = LETTERS.find(row[-1].strip()) if len(row) >= 4 and len(row[-1].strip()) == 1 else -1
        if not 0 <= letter < len(row) - 2:
            raise DataError("a line of a table of questions holds the question, two or more options, and the letter of the right one", code="D135", file=name, line=number)
        found.append(Choice(row[0], row[1:-1], letter))
    return found


def likeliest(model, asked: Sequence[Choice]) -> list[int]:
    """Of each question the likeliest ending, per character of the ending, so that long ones are not punished; `model` has `nats`."""
    alone = list(dict.fromkeys(one.question for one in asked))
    known = dict(zip(alone, model.nats(alone), strict=True))
    nats, at, found = model.nats([f"{one.question} {choice}" for one in asked for choice in one.choices]), 0, []
    for one in asked:
        costs = [(nats[at + number] - known[one.question]) / max(1, len(choice)) for number, choice in enumerate(one.choices)]
        found.append(costs.index(min(costs)))
        at += len(one.choices)
    return found


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
