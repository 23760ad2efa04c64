"""`luthier config`: the recipe with all its defaults, and its JSON Schema."""

import sys
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.check import WORDS
from luthier.commands.entry import split_words
from luthier.commands.screen import Screen, in_one_line
from luthier.settings import to_yaml

HELP = "Show the recipe with all its defaults, or its JSON Schema."
EXAMPLES = """\
$ luthier config show           every key, its value, and who set it
$ luthier config fill           the recipe with every default written out
$ luthier config schema > luthier.schema.json"""


def show(
    screen: Screen,
    words: WORDS = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not a default.")] = False,
) -> None:
    """Show every key of the recipe, its value, and who set it."""
    result = _shown(words)
    if changed:
        result["values"] = [row for row in result["values"] if row["origin"] != "default"]
    screen.finish(result, draw_values)


def fill(screen: Screen, words: WORDS = None) -> None:
    """Print the recipe as YAML with every default written out."""
    screen.finish(_shown(words), lambda screen, result: sys.stdout.write(to_yaml(result["recipe"])))


def schema(screen: Screen) -> None:
    """Print the JSON Schema of a recipe, for editors."""
    from luthier.verbs.config import schema

    screen.json(schema())


def _shown(words: list[str] | None) -> dict:
    from luthier.verbs.config import show

    return show(*split_words(words)).to_dict()


def draw_values(screen: Screen, result: dict) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="key", no_wrap=True)
    table.add_column()
    table.add_column(style="faint", no_wrap=True)
    for row in result["values"]:
        value = "null" if row["value"] is None else in_one_line(row["value"])
        table.add_row(Text(row["key"]), Text(value), Text("" if row["origin"] == "default" else row["origin"]))
    screen.draw(table)


MEMBERS = {
    "show": (show, "$ luthier config show\n$ luthier config show --changed training.epochs=2"),
    "fill": (fill, "$ luthier config fill > complete.yaml"),
    "schema": (schema, "$ luthier config schema > luthier.schema.json"),
}
