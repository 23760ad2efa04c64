"""`luthier compare`: two runs side by side."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.screen import Screen, in_one_line, visible

EXAMPLES = "$ luthier compare quiet-otter last"


def run(
    screen: Screen,
    first: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare with.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The other one: is it better?")],
    contestant: Annotated[str, typer.Option(metavar="NAME", help="Whose answers are compared.")] = "tuned",
) -> None:
    """Compare two runs: what differs in their recipes, and who wins.

    The difference is paired over the test rows that both answered.
    """
    from luthier.verbs.compare import compare

    screen.finish(compare(first, second, contestant=contestant).to_dict(), draw)


def draw(screen: Screen, result: dict) -> None:
    screen.line((visible(result["sentence"]), "head"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    for title in ("recipe", result["first"], result["second"]):
        table.add_column(title)
    for row in result["recipe"]:
        table.add_row(row["key"], Text(in_one_line(str(row["first"]), 60)), Text(in_one_line(str(row["second"]), 60)))
    screen.draw(table)
    draw_figures(screen, result)
    for row in result["result"]["examples"]:
        screen.line((f"{row['gain']:+.3f}  ", "good" if row["gain"] > 0 else "bad"), (in_one_line(row["question"], 100), "faint"))
        screen.line("        ", in_one_line(str(row["first"]), 70), ("  →  ", "faint"), in_one_line(str(row["second"]), 70), (f"  (target {in_one_line(row['target'], 60)})", "faint"))


def draw_figures(screen: Screen, result: dict) -> None:
    """Every figure of both, and the temperature that was fitted for each where that differs."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    for title in ("figure", result["first"], result["second"], "better by", "95 % interval"):
        table.add_column(title)
    for row in result["result"]["figures"]:
        gap = row["difference"]
        table.add_row(row["metric"], f"{row['first']:.4g}", f"{row['second']:.4g}", f"{gap['value']:+.3g}", f"{gap['low']:+.3g} to {gap['high']:+.3g}")
    fitted = [str(round(one["temperature"], 3)) if one and "temperature" in one else "none" for one in result["result"]["calibration"]]
    if fitted[0] != fitted[1]:
        table.add_row("temperature", *fitted, "", "")
    screen.draw(table)
