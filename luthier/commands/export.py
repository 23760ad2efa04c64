"""`luthier export`: a copy of a tuned model that has proven to be the same model."""

from pathlib import Path
from typing import Annotated

import typer

from luthier.commands.predict import RUN
from luthier.commands.screen import Screen

EXAMPLES = """\
$ luthier export last --to merged
$ luthier export last --to gguf --precision q8_0
$ luthier verify runs/quiet-otter/export/gguf-q8_0"""


def run(
    screen: Screen,
    run: RUN,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="merged, peft, gguf, ollama or onnx.")],
    precision: Annotated[str, typer.Option(metavar="WORD", help="f32, f16, bf16, q8_0 or q4_0, where the format has it.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where; inside the run's folder where none is named.")] = None,
) -> None:
    """Write a copy in another format; prove it answers alike.

    The copy must read the same token ids, compute the same numbers within its precision, write the same text and be as good on test rows; else
    exit code 4, and nothing is written.
    """
    from luthier.verbs.export import export

    result = export(run, to, precision=precision, out=out, say=screen.say).to_dict()
    screen.finish(result, draw)


def draw(screen: Screen, result: dict) -> None:
    screen.line(result["folder"])
    for name in result["files"]:
        screen.line(("  " + name, "faint"))
    screen.next(f"luthier verify {result['folder']}")
