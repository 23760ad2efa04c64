"""`luthier plan`: memory, time and disk, before anything is loaded."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.check import ON_BAD_ROW, WORDS, with_bad_rows
from luthier.commands.entry import look_early, split_words
from luthier.commands.progress import duration, short, size
from luthier.commands.screen import Screen, in_one_line

EXAMPLES = """\
$ luthier plan
$ luthier plan model=Qwen/Qwen3-0.6B method=full
$ luthier plan --to slurm"""

FIT_STYLES = {"fits": "good", "tight": "warn", "no": "bad"}


def run(
    screen: Screen,
    words: WORDS = None,
    on_bad_row: ON_BAD_ROW = None,
    to: Annotated[str | None, typer.Option(metavar="SCHEDULER", help="Also write a job file: skypilot, slurm or kubernetes.")] = None,
    providers: Annotated[Path | None, typer.Option(metavar="FILE", help="Prices of machines; the table that ships where none is named.")] = None,
) -> int:
    """Say what training takes, what it costs, and whether it fits here.

    Memory, time and disk for this machine, before anything is loaded, and the one change that makes it fit. Exit code 3 where it does not.
    """
    target, overrides = split_words(words)
    overrides = with_bad_rows(overrides, on_bad_row)
    look_early(target, overrides)
    from luthier.verbs.plan import plan

    result = plan(target, overrides, to=to, providers=providers, say=screen.say).to_dict()
    screen.finish(result, draw)
    return 3 if result["fits"] == "no" else 0


def draw(screen: Screen, result: dict) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="faint", no_wrap=True)
    table.add_column()
    for name, words in (("model", _model(result)), ("method", _method(result)), ("will load", _homes(result)), ("memory", _memory(result)), ("time", _time(result)), ("disk", _disk(result))):
        if words:
            table.add_row(name, words)
    screen.draw(table)
    if result.get("resolved"):
        screen.line("")
        draw_resolved(screen, result["resolved"])
    if result.get("money"):
        draw_money(screen, result["money"])
    if result.get("job"):
        screen.line(f"{result['job']['file']} starts it with {result['job']['to']}")
    if result.get("minimum_detectable") is not None:
        screen.line(f"the test rows can show a difference of {result['minimum_detectable']:.3f} or more")
    screen.line("")
    screen.line((result["fits"], FIT_STYLES[result["fits"]]), ": ", result["sentence"])
    if result.get("change"):
        screen.line(("hint: ", "key"), result["change"])
    elif result["fits"] != "no":
        screen.next("luthier train")


def _model(result: dict) -> Text:
    model = result["model"]
    parts = [model["name"], f"{short(model['parameters'])} parameters" if model.get("parameters") else "", model.get("kind") or ""]
    parts += [f"context {model['context']:,}" if model.get("context") else "", model.get("notice") or ""]
    return Text(" · ".join(filter(None, parts)))


def _method(result: dict) -> Text:
    method = result["method"]
    share = f"trains {short(method['trainable'])} weights" if method.get("trainable") else ""
    if share and result["model"].get("parameters"):
        share += f" ({method['trainable'] / result['model']['parameters']:.1%})"
    return Text(" · ".join(filter(None, [method["name"], share])))


def _homes(result: dict) -> Text | None:
    """Where the result will load, and where not and why."""
    found = result["method"].get("homes") or {name: "yes" for name in result["method"].get("loads_in") or []}
    good = [name + (f" ({words.removeprefix('yes, ')})" if words != "yes" else "") for name, words in found.items() if words.startswith("yes")]
    bad = [f"{name} ({words.removeprefix('no, ')})" for name, words in found.items() if words.startswith("no")]
    parts = [f"in {', '.join(good)}" if good else "", f"not in {', '.join(bad)}" if bad else ""]
    return Text("; ".join(filter(None, parts))) if found else None


def _memory(result: dict) -> Text:
    memory = result["memory"]
    parts = " · ".join(f"{name} {size(num_bytes)}" for name, num_bytes in (memory.get("parts") or {}).items() if num_bytes)
    return Text.assemble(f"{size(memory['needed'])} of {size(memory['available'])}  ", (result["fits"], FIT_STYLES[result["fits"]]), (f"  {parts}", "faint"))


def _time(result: dict) -> Text | None:
    time = result.get("time") or {}
    if time.get("seconds") is None:
        return None
    steps = f" ({time['steps']:,} steps)" if time.get("steps") else ""
    span = f" · between {duration(time['low'])} and {duration(time['high'])}" if time.get("low") is not None else ""
    return Text(f"about {duration(time['seconds'])}{steps}{span}")


def _disk(result: dict) -> Text | None:
    disk = result.get("disk")
    return Text(f"{size(disk['needed'])} of {size(disk['free'])} free") if disk else None


def draw_resolved(screen: Screen, resolved: dict) -> None:
    """Every `auto` with the number it became and why."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="key", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="faint")
    for key, found in resolved.items():
        table.add_row(key, Text(in_one_line(found["value"], 24)), Text(in_one_line(found["reason"], 120)))
    screen.draw(table)


def draw_money(screen: Screen, money: dict) -> None:
    """Time, energy and price per machine, and how old the prices are."""
    screen.line("")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    for title in ("provider", "machine"):
        table.add_column(title)
    for title in ("time", "kWh", money["currency"]):
        table.add_column(title, justify="right", no_wrap=True)
    for offer in money["offers"]:
        price = f"{offer['price']:,.2f}" if offer["price"] >= 0.005 else "< 0.01"
        cells = [offer["provider"], offer["machine"], duration(offer["seconds"]), f"{offer['kwh']:.3g}", price if offer["fits"] else "does not fit"]
        table.add_row(*(Text(in_one_line(cell, 40)) for cell in cells))
    screen.draw(table)
    screen.line((f"training alone, at list prices noted on {money['dated']}; --providers FILE takes your own", "faint"))
