"""`luthier recipes`: whole runs to copy and change."""

from typing import Annotated

import typer
from rich.table import Table

from luthier.commands.screen import Screen

HELP = "List the recipes that ship, and copy one."
EXAMPLES = """\
$ luthier recipes ls
$ luthier recipes cp labels-encoder"""


def ls(screen: Screen) -> None:
    """Say which recipes there are and what each is for."""
    from luthier.verbs.recipes import ls

    screen.finish(ls().to_dict(), draw_list)


def cp(
    screen: Screen,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The recipe.")],
    output: Annotated[str, typer.Argument(metavar="FILE", help="Where to.")] = "luthier.yaml",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace the file without asking.")] = False,
) -> None:
    """Copy a recipe, to change its model and data."""
    from luthier.verbs.recipes import cp

    screen.finish(cp(name, output, replace=yes).to_dict(), draw_copy)


MEMBERS = {"ls": (ls, "$ luthier recipes ls"), "cp": (cp, "$ luthier recipes cp labels-encoder")}


def draw_list(screen: Screen, result: dict) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="key", no_wrap=True)
    table.add_column()
    for row in result["recipes"]:
        table.add_row(row["name"], row["sentence"])
    screen.draw(table)


def draw_copy(screen: Screen, result: dict) -> None:
    screen.line((f"{screen.tick} ", "good"), "wrote ", (result["file"], "key"), f": {result['sentence']}")
    screen.next("luthier check")
