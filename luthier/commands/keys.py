"""`luthier keys`: who may ask a server that can be reached from outside."""

from pathlib import Path
from typing import Annotated

import typer

from luthier.commands.screen import Screen

HELP = "Keys of a server that can be reached from outside."
EXAMPLES = """\
$ luthier keys new me --file keys.json       shows the key once
$ luthier keys revoke me --file keys.json    out within a second"""

FILE = Annotated[Path, typer.Option("--file", metavar="FILE", help="Where the hashes of keys are kept.")]
NAME = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.")]


def new(
    screen: Screen,
    name: NAME,
    file: FILE = Path("keys.json"),
    scope: Annotated[list[str] | None, typer.Option(metavar="WORD", help="inference, fine-tuning or admin; all where none is named.")] = None,
    requests: Annotated[int | None, typer.Option(metavar="N", min=1, help="Requests a minute.")] = None,
    tokens: Annotated[int | None, typer.Option(metavar="N", min=1, help="Tokens a minute.")] = None,
    streams: Annotated[int | None, typer.Option(metavar="N", min=1, help="Requests at once.")] = None,
    jobs: Annotated[int | None, typer.Option(metavar="N", min=0, help="Fine-tuning jobs at once.")] = None,
) -> None:
    """Make a key; it is shown once and only its hash is kept."""
    from luthier.verbs.keys import new as make

    screen.finish(make(file, name, scope, requests_per_minute=requests, tokens_per_minute=tokens, streams=streams, jobs=jobs), lambda screen, result: screen.line(result["key"]))


def ls(screen: Screen, file: FILE = Path("keys.json")) -> None:
    """The keys there are, without their secrets."""
    from luthier.verbs.keys import ls as listed

    screen.finish(listed(file), lambda screen, result: [screen.line(key["name"], "  ", ", ".join(key["scopes"])) for key in result["keys"]])


def revoke(screen: Screen, name: NAME, file: FILE = Path("keys.json")) -> None:
    """Take a key away; running servers notice within a second."""
    from luthier.verbs.keys import revoke as take

    screen.finish(take(file, name), lambda screen, result: screen.line(f"{result['revoked']} may not come in any more"))


MEMBERS = {
    "new": (new, "$ luthier keys new me --file keys.json"),
    "ls": (ls, "$ luthier keys ls --file keys.json"),
    "revoke": (revoke, "$ luthier keys revoke me --file keys.json"),
}
