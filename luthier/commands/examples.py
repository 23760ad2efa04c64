"""`luthier examples`: test rows with the wanted, the base's and the tuned answer."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.predict import RUN
from luthier.commands.screen import Screen, in_one_line

EXAMPLES = """\
$ luthier examples last --worst 5
$ luthier examples last --lost        rows that only the base had right"""


def run(
    screen: Screen, run: RUN = "last", worst: Annotated[int, typer.Option(metavar="N", min=1, help="How many, the worst first.")] = 5,
    lost: Annotated[bool, typer.Option("--lost", help="Only rows on which the base did better.")] = False,
) -> None:
    """Show the test rows that went most wrong.

    They are hard rows, or rows whose label or answer is itself wrong: look at these before anything else.
    """
    from luthier.verbs.examples import examples

    screen.finish(examples(run, worst=worst, lost=lost).to_dict(), draw)


def draw(screen: Screen, result: dict) -> None:
    if "lost" in result:
        screen.line(f"tuning lost {result['lost']:,} rows that the base did better on, and won {result['won']:,}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    table.add_column("loss", justify="right", no_wrap=True)
    for title, ratio in (("target", 2), ("base", 2), ("tuned", 2), ("input", 4)):
        table.add_column(title, ratio=ratio)
    table.add_column("row", no_wrap=True)
    for row in result["rows"]:
        loss = "" if row.get("nll") is None else f"{row['nll']:.2f}"
        answers = [in_one_line(row.get(name) or "", 160) for name in ("target", "base", "tuned", "input")]
        table.add_row(*(Text(cell) for cell in [loss, *answers, str(row.get("origin") or row["row"])]))
    screen.draw(table)
