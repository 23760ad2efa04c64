"""`luthier tables`: fine-tuning against prompting and against retrieval, as two tables of figures."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.predict import RUN
from luthier.commands.screen import Screen, in_one_line, visible

EXAMPLES = """\
$ luthier tables last
$ luthier tables last --changed new-prices   facts of your own"""


def run(
    screen: Screen,
    run: RUN = "last",
    changed: Annotated[str | None, typer.Option(metavar="FOLDER", help="learn.jsonl, ask.jsonl and new documents; none: twenty facts of the sample shop.")] = None,
    rows: Annotated[int, typer.Option(min=2, help="Test rows for consistency and for what an update costs elsewhere.")] = 30,
) -> None:
    """Change facts after training, and see who follows.

    Each contestant of a chat run is brought up to date in its own way; then what each gives, costs and needs.
    """
    from luthier.verbs.tables import tables

    screen.finish(tables(run, changed=changed, rows=rows, say=screen.say).to_dict(), draw)


def draw(screen: Screen, result: dict) -> None:
    """Both tables in the words of the files beside them."""
    from luthier.verbs.tables import cells

    screen.line((visible(result["sentence"]), "head"))
    for title, head, lines in cells(result):
        screen.line((title, "faint"))
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
        for cell in head:
            table.add_column(cell)
        for line in lines:
            table.add_row(*(Text(in_one_line(cell, 80)) for cell in line))
        screen.draw(table)
    screen.line(("tables: ", "faint"), f"{result['folder']}/evaluation/facts.csv, approaches.csv, and .tex")
