"""`luthier import`: what was made for somebody else's service, as a recipe of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from luthier.commands.screen import Screen

HELP = "Take over what was made for another service."
EXAMPLES = """\
$ luthier import openai train.jsonl
$ luthier import openai train.jsonl --job job.json"""


def openai(
    screen: Screen,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The JSONL that was uploaded.")],
    validation: Annotated[Path | None, typer.Option(metavar="FILE", help="The validation file, where there was one.")] = None,
    job: Annotated[Path | None, typer.Option(metavar="FILE", help="The job object as the API answered it.")] = None,
    model: Annotated[str, typer.Option(metavar="MODEL", help="The base to tune instead.")] = "spruce",
    out: Annotated[Path, typer.Option(metavar="FILE", help="The recipe to write.")] = Path("luthier.yaml"),
) -> None:
    """Write a recipe from the hosted API's data, hyper-parameters and job object.

    What has no counterpart here is listed with the reason.
    """
    from luthier.verbs.importing import from_openai

    screen.finish(from_openai(file, validation=validation, job=job, model=model, out=out).to_dict(), draw)


def draw(screen: Screen, result: dict) -> None:
    screen.line(f"wrote {result['file']}")
    for name, value in result["taken"].items():
        screen.line((f"  {name} ", "key"), str(value))
    for name, reason in result["left"].items():
        screen.line((f"  left out: {name}, ", "faint"), (reason, "faint"))
    screen.next("luthier check", "luthier train")


MEMBERS = {"openai": (openai, EXAMPLES)}
