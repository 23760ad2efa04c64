"""`luthier check`: every row read strictly, and what was found."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.entry import look_early, split_words
from luthier.commands.findings import finding_lines
from luthier.commands.progress import duration
from luthier.commands.screen import Screen, in_one_line, visible

EXAMPLES = """\
$ luthier check
$ luthier check tickets.csv
$ luthier check --show 2      prints two examples, token by token"""

WORDS = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE|RECIPE] [key=value ...]", help="A recipe, or data (then `init` is done in memory); ./luthier.yaml if none."),
]
ON_BAD_ROW = Annotated[str | None, typer.Option(metavar="stop|skip", help="`skip` writes bad rows to rejected.jsonl with the reason; `stop` refuses.")]


def run(
    screen: Screen,
    words: WORDS = None,
    show: Annotated[int, typer.Option(metavar="N", min=0, help="Print N rendered examples, token by token.")] = 0,
    on_bad_row: ON_BAD_ROW = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read strictly only; leave the doctor's checks out.")] = False,
    against: Annotated[str | None, typer.Option(metavar="FILE", help="A benchmark whose texts training rows should not hold.")] = None,
) -> int:
    """Read every row strictly; nothing is trained.

    Prints what every row became (the ledger), lengths, labels, leakage between the splits, and what is wrong, to the line.
    Exit code 1 where errors are found.
    """
    target, overrides = split_words(words)
    overrides = with_bad_rows(overrides, on_bad_row)
    look_early(target, overrides)
    from luthier.verbs.check import check

    result = check(target, overrides, show=show, quick=quick, against=against, say=screen.say).to_dict()
    screen.finish(result, draw)
    return 0 if result["ok"] else 1


def with_bad_rows(overrides: list[str], on_bad_row: str | None) -> list[str]:
    return [*overrides, f"data.on_bad_row={on_bad_row}"] if on_bad_row else overrides


def draw(screen: Screen, result: dict) -> None:
    _draw_facts(screen, result)
    draw_ledger(screen, result["ledger"])
    findings = result["findings"]
    for finding in sorted(findings, key=lambda finding: ["info", "warning", "error"].index(finding["level"])):
        for line in finding_lines(finding):
            screen.draw(line)
    for example in result.get("shown") or []:
        draw_example(screen, example)
    screen.line("")
    _draw_count(screen, result)


def _draw_facts(screen: Screen, result: dict) -> None:
    if result.get("mapping") and screen.quiet:  # else it was said on the way
        screen.line(in_one_line(result["mapping"], 200))
    lengths, parts = result.get("lengths") or {}, []
    parts += [f"{name} {lengths[name]:,}" for name in ("p50", "p95", "max") if lengths.get(name) is not None]
    words = ["tokens " + " · ".join(parts)] if parts else []
    words += [f"context {lengths['context']:,}"] if lengths.get("context") else []
    words += [f"{len(result['labels'])} labels"] if result.get("labels") else []
    words += [f"{result['checks']} checks passed"] if result.get("checks") else []
    if words:
        screen.line(" · ".join(words))
    if result.get("minimum_detectable") is not None:
        screen.line(f"the test rows can show a difference of {result['minimum_detectable']:.3f} or more")


def draw_ledger(screen: Screen, ledger: dict) -> None:
    """Rows in = rows used + rows left out; tokens in = learned + context + cut."""
    if not ledger:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    tokens = any((split.get("tokens") or {}).get("in") for split in ledger.values())
    for title in ["", "rows in", "used", *(["tokens in", "learned", "context", "cut"] if tokens else []), "left out"]:
        table.add_column(title, justify="left" if title in ("", "left out") else "right", no_wrap=title != "left out")
    for name, split in ledger.items():
        counts = split.get("tokens") or {}
        left = ", ".join(f"{count:,} {visible(reason)}" for reason, count in (split.get("left_out") or {}).items() if count) or "none"
        cells = [name, f"{split['rows_in']:,}", f"{split['used']:,}"]
        cells += [f"{counts.get(key, 0):,}" for key in ("in", "learned", "context", "cut")] if tokens else []
        table.add_row(*(Text(cell) for cell in [*cells, left]))
    screen.draw(table)


def draw_example(screen: Screen, example: dict) -> None:
    """One rendered example. Without colour too: learned text stands in «», special tokens in ⟨⟩."""
    text = Text()
    for span in example["spans"]:
        words, kind = visible(span[0]), span[1].split()[0]
        marks = {"learned": ("«", "»"), "special": ("⟨", "⟩")} if screen.draws_unicode else {"learned": ("{{", "}}"), "special": ("<", ">")}
        before, after = marks.get(kind, ("", ""))
        text.append(f"{before}{words}{after}", kind if kind in ("learned", "special") else "context")
    origin = f"{example.get('split') or ''} row {example['row']:,}".strip() if example.get("row") else "example"
    screen.line("")
    screen.line((origin, "head"), "   ", ("«learned»", "learned"), " ", ("context", "context"), " ", ("⟨special⟩", "special"))
    screen.draw(text)


def _draw_count(screen: Screen, result: dict) -> None:
    counts = {level: sum(finding["level"] == level for finding in result["findings"]) for level in ("error", "warning")}
    found = ", ".join(f"{count} {level}{'s' if count != 1 else ''}" for level, count in counts.items() if count)
    took = f" in {duration(result['seconds'])}" if result.get("seconds") is not None else ""
    if result["ok"]:
        screen.line((f"{screen.tick} ", "good"), f"{found or 'nothing wrong'}{took}")
        screen.next("luthier plan", "luthier train")
    else:
        screen.line((found, "bad"), took)
        codes = sorted({finding["code"] for finding in result["findings"] if finding["level"] == "error"})
        screen.next(*(f"luthier explain {code}" for code in codes[:3]))
