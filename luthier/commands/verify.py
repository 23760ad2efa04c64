"""`luthier verify`: a folder against its manifest."""

from pathlib import Path
from typing import Annotated

import typer

from luthier.commands.screen import Screen

EXAMPLES = """\
$ luthier verify runs/quiet-otter/model
$ luthier verify copies/gguf-q8_0 --json"""


def run(screen: Screen, folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A saved model, a checkpoint or an exported copy.")]) -> None:
    """Check a folder against its manifest, byte for byte.

    Exit code 7 names the first file that is changed, missing or new.
    """
    from luthier.verbs.verify import verify

    screen.finish(verify(folder).to_dict(), lambda screen, result: screen.line((screen.tick, "good"), f" {result['files']} files are as they were written"))
