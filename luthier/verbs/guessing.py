"""What a recipe for a data file would be: the task and the columns, guessed from its first rows and said in a sentence."""
from pathlib import Path

from luthier.data import sources, spellings
from luthier.data.findings import Finding
from luthier.data.records import Prompt
from luthier.data.spellings import Mapping
from luthier.errors import DataError

LOOKED_AT = 200
"""Rows read before guessing."""


def first_rows(path: str, count: int = LOOKED_AT) -> list:
    """The first good rows of a source; DataError with the first finding where there is none."""
    rows, findings = [], []
    for item in sources.read(path):
        (findings if isinstance(item, Finding) else rows).append(item)
        if len(rows) >= count:
            break
    if not rows:
        first = findings[0].to_dict() if findings else {}
        first.pop("level", None)
        message = first.pop("message", f"{path} has no rows")
        raise DataError(message, findings=[finding.to_dict() for finding in findings], **first)
    return rows


def guessed(path: str, *, task: str | None = None, columns: dict[str, str] | None = None, record: type | None = None) -> Mapping:
    """How the rows of a source would be read; columns that the user names overrule the guess, `record` narrows it."""
    rows = first_rows(path)
    if columns:
        return spellings.mapping_from(columns, task, list(rows[0].values), path=path, record=record, sample=rows)
    return spellings.guess(rows, path, task=task, record=record)


def recipe_of_data(
    path: str, *, task: str | None = None, columns: dict[str, str] | None = None, record: type | None = None, model: str = "spruce",
) -> tuple[dict, str]:
    """The mapping of a short recipe and the sentence that announces the guess."""
    found = guessed(path, task=task, columns=columns, record=record)
    data: dict = {"train": path}
    if any(role != column for role, column in found.columns.items()):
        data["map"] = dict(found.columns)
    task = {"name": found.task, **found.settings} if found.settings else found.task
    recipe = {"model": model, "task": task, "method": "lora", "data": data}
    if found.record in spellings.LEARNED_BY:
        rewards = rewards_beside(path, found) if found.record is Prompt else []
        recipe["objective"] = {"name": spellings.LEARNED_BY[found.record], "rewards": rewards} if rewards else spellings.LEARNED_BY[found.record]
    return recipe, found.sentence


def rewards_beside(path: str, found: Mapping) -> list[str]:
    """What answers to prompts may earn: the grader that lies beside the file (FILE.grader.json), or likeness to the reference."""
    grader = Path(path).with_suffix(".grader.json")
    return [f"grader:{grader}"] if grader.is_file() else ["task:rouge_l"] if "reference" in found.columns else []
