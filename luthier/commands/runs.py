"""`luthier runs`: list runs, show one, tell two apart."""

import time
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.findings import error_lines
from luthier.commands.predict import RUN
from luthier.commands.progress import duration
from luthier.commands.screen import Screen, in_one_line
from luthier.commands.verdict import draw_verdict

HELP = "List runs, show one, tell two apart."
EXAMPLES = """\
$ luthier runs ls
$ luthier runs show last
$ luthier runs diff quiet-otter amber-lark"""
STATUS_STYLES = {"done": "good", "failed": "bad", "stopped": "warn", "running": "key"}


def ls(screen: Screen) -> None:
    """List all runs, the newest first."""
    from luthier.verbs.runs import ls

    screen.finish(ls().to_dict(), draw_list)


def show(screen: Screen, run: RUN = "last") -> None:
    """Show one run: what it was, what came out, what its recipe sets."""
    from luthier.verbs.runs import show

    screen.finish(show(run).to_dict(), draw_run)


def diff(
    screen: Screen,
    first: Annotated[str, typer.Argument(metavar="RUN", help="One run.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another.")],
) -> None:
    """Show only what differs between two runs: recipe keys and figures."""
    from luthier.verbs.runs import diff

    screen.finish(diff(first, second).to_dict(), draw_differences)


MEMBERS = {
    "ls": (ls, "$ luthier runs ls"),
    "show": (show, "$ luthier runs show last"),
    "diff": (diff, "$ luthier runs diff quiet-otter amber-lark"),
}


def draw_list(screen: Screen, result: dict) -> None:
    if not result["runs"]:
        screen.line("no runs here yet")
        screen.next("luthier demo", "luthier train")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    for title in ("run", "status", "task", "method", "model", "tuned", "best", "time", "made"):
        table.add_column(title, no_wrap=True, justify="right" if title in ("tuned", "time") else "left")
    for row in result["runs"]:
        score = f"{row['metric']} {row['value']:.3f}" if row.get("value") is not None else ""
        cells = [row["run"], "", row["task"] or "", row["method"] or "", in_one_line(row["model"] or "", 24), score, row.get("winner") or ""]
        cells += [duration(row["seconds"]) if row.get("seconds") else "", ago(row["created"]) if row.get("created") else ""]
        texts = [Text(str(cell)) for cell in cells]
        texts[1] = Text(row["status"], STATUS_STYLES.get(row["status"], ""))
        table.add_row(*texts)
    screen.draw(table)


def ago(moment: float) -> str:
    """A moment as the time since then."""
    seconds = max(0.0, time.time() - moment)
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "now"


def draw_run(screen: Screen, result: dict) -> None:
    run = result["run"]
    parts = [run["task"], run["method"], run["model"], duration(run["seconds"]) if run.get("seconds") else ""]
    screen.line((run["run"], "head"), "  ", (run["status"], STATUS_STYLES.get(run["status"], "")), "  ", " · ".join(filter(None, parts)))
    screen.line((run["folder"], "key"))
    screen.line("")
    if result["verdict"]:
        draw_verdict(screen, result["verdict"])
    else:
        screen.line("no verdict" + (f"; it was last seen in phase {run['phase']}" if run.get("phase") else ""))
    if result["facts"].get("error"):
        for line in error_lines(result["facts"]["error"], []):
            screen.draw(line)
    if screen.verbose:
        for key, value in result["recipe"].items():
            screen.line((f"{key}: ", "faint"), in_one_line(value, 80))


def draw_differences(screen: Screen, result: dict) -> None:
    rows = [(row["key"], row["a"], row["b"]) for row in result["recipe"]] + [(row["name"], row["a"], row["b"]) for row in result["figures"]]
    if not rows:
        screen.line("no differences")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="head", pad_edge=False)
    for title in ("", result["a"], result["b"]):
        table.add_column(title)
    for name, a, b in rows:
        table.add_row(Text(in_one_line(name), "faint"), Text(_value(a)), Text(_value(b)))
    screen.draw(table)
    if result.get("same_test_rows") is False:
        screen.line(("warning", "warn"), ": measured on different test rows; their figures cannot be compared")


def _value(value) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else in_one_line(value)
