"""`luthier init`: a recipe from a data file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from luthier.commands.screen import Screen, in_one_line
from luthier.errors import RecipeError

EXAMPLES = """\
$ luthier init tickets.csv
$ luthier init chats.jsonl --task chat
$ luthier init table.csv --map text=ticket_text --map label=queue"""


def run(
    screen: Screen,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSONL, JSON, CSV, TSV, Parquet or text, also .gz; a folder; a hub data set.")],
    task: Annotated[str | None, typer.Option(metavar="TASK", help="What to learn, where the guess is wrong.")] = None,
    map: Annotated[list[str] | None, typer.Option(metavar="ROLE=COLUMN", help="Which column plays a role; may be repeated.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="RECIPE", help="The recipe to write.")] = "luthier.yaml",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace the recipe without asking.")] = False,
) -> int | None:
    """Guess task and columns from data; write a recipe.

    The guess is printed; `--task` and `--map` correct it. The recipe has at most ten lines.
    """
    if Path(output).exists() and not yes and not _may_replace(screen, output):
        return 2
    from luthier.verbs.init import init

    screen.finish(init(file, task=task, map=_pairs(map or []), output=output, say=screen.say).to_dict(), draw)


def _may_replace(screen: Screen, output: str) -> bool:
    if screen.as_json or not sys.stdin.isatty():
        raise RecipeError(f"{output} exists", code="R141", hint="`--yes` replaces it, `--output NAME` writes another")
    return typer.confirm(f"{output} exists; replace it?", err=True)


def _pairs(words: list[str]) -> dict[str, str] | None:
    """`role=column` words as a mapping."""
    for word in words:
        if "=" not in word:
            raise RecipeError(f"`--map {word}` is not ROLE=COLUMN", code="R108", hint="for example `--map text=ticket_text`")
    return dict(word.split("=", 1) for word in words) or None


def draw(screen: Screen, result: dict) -> None:
    columns = ", ".join(in_one_line(column, 24) for column in result.get("columns") or [])
    rows = "" if result.get("rows") is None else f"{result['rows']:,} rows"
    screen.line("looked at ", " · columns ".join(filter(None, [rows, columns])) or result["data"])
    mapping = " · ".join(f"{role} ← {in_one_line(column, 30)}" for role, column in (result.get("map") or {}).items())
    labels = f" ({result['labels']} labels)" if result.get("labels") else ""
    screen.line("guess: task ", (result["task"], "head"), f" · {mapping}{labels}" if mapping else labels, ("   change with --task, --map", "faint"))
    for note in result.get("notes") or []:
        screen.line((note, "faint"))
    screen.line((f"{screen.tick} ", "good"), "wrote ", (result["file"], "key"))
    screen.next("luthier check")
