"""`luthier check`: every row read strictly, and what was found."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from luthier.commands.entry import look_early, split_words
from luthier.commands.findings import finding_lines
from luthier.commands.progress import duration
from luthier.commands.screen import Screen, in_one_line, visible
from luthier.errors import RecipeError

EXAMPLES = """\
$ luthier check
$ luthier check tickets.csv
$ luthier check tickets.csv --fix
$ luthier check tickets.csv --fix duplicates,pii --pii pseudonym
$ luthier check tickets.csv --review
$ luthier check --show 2      prints two examples, token by token"""

WORDS = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE|RECIPE] [key=value ...]", help="A recipe, or data (then `init` is done in memory); ./luthier.yaml if none."),
]
WORDS_OF_FIXES = {
    "unreadable": "left out: cannot be read or used", "duplicates": "left out: copies of an earlier row", "near_duplicates": "left out: near copies", "leakage": "left out: tested too",
    "pii": "private things replaced", "invisible": "invisible characters removed", "mojibake": "broken characters repaired", "control_tokens": "control tokens removed",
    "labels": "labels spelled alike", "label_names": "labels respelled", "label_errors": "left out: label probably wrong", "relabel": "labels rewritten as probably meant", "unfit": "left out: answer does not fit",
    "poison": "left out: planted trigger", "balance": "left out or added for balance", "review": "as decided in the review",
}
LEVELS = ["info", "warning", "error"]
SECTIONS = {
    "D10": "reading", "D13": "reading", "D11": "rows", "D12": "rows", "D14": "answers", "D20": "copies", "D40": "the split", "D41": "tokens", "D30": "labels", "D34": "labels", "D31": "labels and people",
    "D50": "what the text holds", "D51": "what the text holds", "D": "rows", "": "other",
}
ON_BAD_ROW = Annotated[str | None, typer.Option(metavar="stop|skip", help="`skip` writes bad rows to rejected.jsonl with the reason; `stop` refuses.")]


def run(
    screen: Screen,
    words: WORDS = None,
    show: Annotated[int, typer.Option(metavar="N", min=0, help="Print N rendered examples, token by token.")] = 0,
    on_bad_row: ON_BAD_ROW = None,
    fix: Annotated[bool, typer.Option("--fix", help="Repair into a new file, with a patch of what was done. Names of fixes may follow, with commas, or `all`.")] = False,
    pii: Annotated[str, typer.Option(metavar="mask|pseudonym", help="How `--fix pii` replaces private things.")] = "mask",
    key: Annotated[str | None, typer.Option(metavar="FILE", help="The key of `--pii pseudonym`; one is made where there is none.")] = None,
    balance: Annotated[str, typer.Option(metavar="resample|reweight|counterfactual", help="How `--fix balance` balances.")] = "resample",
    review: Annotated[bool, typer.Option("--review", help="Write the doubtful rows to a small CSV for a person to decide.")] = False,
    apply: Annotated[str | None, typer.Option(metavar="CSV", help="Take the edited review back into a new file.")] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="The file that --fix, --review or --apply writes.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read strictly only; leave the doctor's checks out.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Leave no files; else .luthier/check.html, check.json and slices.json.")] = False,
    against: Annotated[str | None, typer.Option(metavar="FILE", help="A benchmark whose texts training rows should not hold.")] = None,
    traffic: Annotated[str | None, typer.Option(metavar="FILE", help="What is asked in use: told where training has nothing like it.")] = None,
    embed: Annotated[str | None, typer.Option(metavar="MODEL", help="A base whose vectors judge labels and topics, in the place of word counts.")] = None,
    names: Annotated[str | None, typer.Option(metavar="RUN|MODEL", help="A token-classification run or model that finds names and addresses, for D501 and `--fix pii`.")] = None,
) -> int:
    """Read every row strictly; nothing is trained.

    Prints what every row became (the ledger), lengths, labels, leakage between the splits, and what is wrong, to the line.
    Exit code 1 where errors are found.
    """
    fixes = ""
    if fix:
        from luthier.verbs.fix import split_fixes

        fixes, words = split_fixes(words or [])
    target, overrides = split_words(words)
    overrides = with_bad_rows(overrides, on_bad_row)
    look_early(target, overrides)
    if fix or review or apply is not None:
        return _repair(screen, target, overrides, fixes=fixes if fix else None, pii=pii, key=key, balance=balance, review=review, apply=apply, against=against, names=names, output=output)
    from luthier.verbs.check import check

    result = check(target, overrides, show=show, quick=quick, against=against, traffic=traffic, embed=embed, names=names, report=None if no_report else Path(".luthier"), say=screen.say).to_dict()
    screen.finish(result, draw)
    return 0 if result["ok"] else 1


def _repair(screen: Screen, target: str | None, overrides: list[str], *, fixes: str | None, pii: str, key: str | None, balance: str, review: bool, apply: str | None, against: str | None, names: str | None, output: str | None) -> int:
    """The three ways to a better file; one at a time."""
    if sum((fixes is not None, review, apply is not None)) > 1:
        raise RecipeError("--fix, --review and --apply are three steps, one at a time", code="R145", hint="first --fix, then --review, then --apply")
    from luthier.verbs import fix as fixing

    if review:
        screen.finish(fixing.ask(target, overrides, output=output, say=screen.say).to_dict(), draw_review)
    elif apply is not None:
        screen.finish(fixing.apply(target, overrides, decisions=apply, output=output, say=screen.say).to_dict(), draw_fix)
    else:
        made = fixing.fix(target, overrides, fixes=fixes or "plain", pii=pii, key=key, balance_by=balance, against=against, names=names, output=output, say=screen.say)
        screen.finish(made.to_dict(), draw_fix)
    return 0


def draw_fix(screen: Screen, result: dict) -> None:
    """What was done, by fix; where the new file is."""
    if not result["file"]:
        screen.line((f"{screen.tick} ", "good"), f"nothing to fix in {result['rows_in']:,} rows; no file was written")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    for title in ("fix", "rows", "what"):
        table.add_column(title, justify="right" if title == "rows" else "left", no_wrap=title != "what")
    for name, count in sorted(result["done"].items(), key=lambda item: -item[1]):
        table.add_row(name, f"{count:,}", WORDS_OF_FIXES.get(name, ""))
    screen.draw(table)
    if gap := result.get("gap"):  # the largest difference of a label's share between a group's rows and all others
        screen.line(f"slice gap ({gap.get('group') or 'no group'}): {gap['before']:.3f} before, {gap['after']:.3f} after")
    screen.line((f"{screen.tick} ", "good"), "wrote ", (result["file"], "key"), f" ({result['rows_out']:,} of {result['rows_in']:,} rows) and ", (result["patch"], "key"), "; the source is as it was")
    if result.get("key"):
        screen.line("the key of the pseudonyms is in ", (result["key"], "key"), "; keep it apart from the data")
    if result.get("weight"):
        screen.line("the weights stand in the column ", (result["weight"], "key"), f"; training heeds them with data.row_weight={result['weight']}")
    screen.next(f"luthier train {result['file']} data.row_weight={result['weight']}" if result.get("weight") else f"luthier check {result['file']}")


def draw_review(screen: Screen, result: dict) -> None:
    if not result["file"]:
        screen.line((f"{screen.tick} ", "good"), "no doubtful rows")
        return
    listed = ", ".join(f"{code} {count:,}" for code, count in result["by_code"].items())
    screen.line((f"{screen.tick} ", "good"), f"{result['rows']:,} rows to decide ({listed}) in ", (result["file"], "key"))
    screen.line(("write keep, leave out, accept or label: NAME in the column `decision`", "faint"))
    screen.next(f"luthier check --apply {result['file']}")


def with_bad_rows(overrides: list[str], on_bad_row: str | None) -> list[str]:
    return [*overrides, f"data.on_bad_row={on_bad_row}"] if on_bad_row else overrides


def draw(screen: Screen, result: dict) -> None:
    _draw_facts(screen, result)
    draw_ledger(screen, result["ledger"])
    draw_sections(screen, result["findings"])
    for example in result.get("shown") or []:
        draw_example(screen, example)
    screen.line("")
    _draw_count(screen, result)


def draw_sections(screen: Screen, findings: list[dict]) -> None:
    """Findings by what they are about; the section with the gravest comes last, nearest to the prompt."""
    sections: dict[str, list[dict]] = {}
    for finding in findings:
        sections.setdefault(section_of(finding["code"]), []).append(finding)
    weight = lambda found: max(LEVELS.index(one["level"]) for one in found)
    for title, found in sorted(sections.items(), key=lambda item: (weight(item[1]), -list(SECTIONS.values()).index(item[0]))):
        screen.line("")
        screen.line((title, "head"))
        for finding in sorted(found, key=lambda one: LEVELS.index(one["level"])):
            for line in finding_lines(finding):
                screen.draw(line)


def section_of(code: str) -> str:
    """The section of a code: by its first two characters, else by the first."""
    return next((title for start, title in SECTIONS.items() if code.startswith(start)), "other")


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
        _draw_report(screen, result)
    else:
        screen.line((found, "bad"), took)
        codes = sorted({finding["code"] for finding in result["findings"] if finding["level"] == "error"})
        screen.next("luthier check --fix", *(f"luthier explain {code}" for code in codes[:3]))
        _draw_report(screen, result)


def _draw_report(screen: Screen, result: dict) -> None:
    if result.get("report"):
        screen.line(("all rows, pictures and a row browser: ", "faint"), (result["report"]["html"], "key"))
