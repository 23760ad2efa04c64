"""`luthier predict`: a tuned model's answers for new inputs."""

import csv
import io
import json
import sys
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.screen import Screen, finite, in_one_line, visible
from luthier.errors import RecipeError

EXAMPLES = """\
$ luthier predict last "my invoice came twice"
$ luthier predict last new.csv --to csv > answers.csv
$ cat new.txt | luthier predict last -"""

RUN = Annotated[str, typer.Argument(metavar="RUN", help="A run: its name, the start of its name, `last`, or its folder.")]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def run(
    screen: Screen,
    run: RUN,
    source: Annotated[str | None, typer.Argument(metavar="[TEXT|FILE|-]", help="One text, a file of rows, or `-` for lines on stdin.")] = None,
    to: Annotated[str, typer.Option(metavar="screen|csv|jsonl", help="How the answers are written to stdout.")] = "screen",
) -> None:
    """Answer new inputs with a tuned model.

    Labels come with their confidence; chats get replies, texts are continued.
    """
    if to not in WRITERS:
        raise RecipeError(f"`--to {to}` is none of: {', '.join(WRITERS)}", code="R142", hint="for example `--to csv`")
    if source is None and sys.stdin.isatty():
        raise RecipeError("nothing to answer", code="R142", hint='give a text, a file, or `-`: `luthier predict last "hello"`')
    from luthier.verbs.predict import predict

    result = predict(run, "-" if source is None else source, say=screen.say).to_dict()
    screen.finish(result, WRITERS[to])


def draw(screen: Screen, result: dict) -> None:
    answers = result["answers"]
    if len(answers) == 1:
        screen.line(visible(_answer(answers[0])), (f"   {_confidence(answers[0])}", "faint"))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    sure = any(_confidence(answer) for answer in answers)
    table.add_column("row", justify="right")
    table.add_column("input", ratio=3)
    table.add_column("answer", ratio=3)
    if sure:
        table.add_column("confidence", justify="right", no_wrap=True)
    for answer in answers:
        cells = [str(answer["row"]), in_one_line(answer.get("input") or "", 200), in_one_line(_answer(answer), 400)]
        table.add_row(*(Text(cell) for cell in [*cells, *([_confidence(answer)] if sure else [])]))
    screen.draw(table)


def _answer(answer: dict) -> str:
    return str(answer["label"] if answer.get("label") is not None else answer.get("answer") or "")


def _confidence(answer: dict) -> str:
    return "" if answer.get("confidence") is None else f"{answer['confidence']:.1%}"


def write_jsonl(screen: Screen, result: dict) -> None:
    for answer in result["answers"]:
        sys.stdout.write(json.dumps(finite(answer), ensure_ascii=False) + "\n")


def write_csv(screen: Screen, result: dict) -> None:
    """Cells that a spreadsheet would run as a formula get a leading quote."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "input", "answer", "confidence"])
    for answer in result["answers"]:
        writer.writerow([answer["row"], _cell(answer.get("input") or ""), _cell(_answer(answer)), answer.get("confidence", "")])
    sys.stdout.write(text.getvalue())


def _cell(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) else text


WRITERS = {"screen": draw, "csv": write_csv, "jsonl": write_jsonl}
