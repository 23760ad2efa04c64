"""The verdict as a reader meets it: the sentences, the contestants side by side, what the difference is worth."""

from rich.table import Table
from rich.text import Text

from luthier.commands.progress import duration
from luthier.commands.screen import Screen, in_one_line, visible

BAR_CELLS = 20


def draw_outcome(screen: Screen, result: dict) -> None:
    """What `train`, `eval` and `demo` answer: verdict, gates, an answer side by side, where the report is."""
    verdict = result.get("verdict")
    if verdict:
        draw_verdict(screen, verdict)
    for one in result.get("probes") or []:
        mark = ("over its red line", "bad") if one["crossed"] else ("measured", "faint") if one["red_line"] is None else ("within", "good")
        screen.line(f"{one['name']} ", mark, f": {visible(one['sentence'])}")
    if result.get("sweep"):
        screen.line(f"best share of the way from base to tuned: {result['sweep']['best']:.0%}")
    for gate in result.get("gates") or []:
        sign = "at most" if gate["at_most"] else "at least"
        mark = ("passed", "good") if gate["passed"] else ("failed", "bad")
        screen.line("gate ", mark, f": {gate['metric']} {gate['value']:.4g}, wanted {sign} {gate['bound']:.4g}")
    if result.get("question"):
        draw_question(screen, result["question"])
    if result.get("run") and not screen.quiet:
        took = f" in {duration(result['seconds'])}" if result.get("seconds") else ""
        screen.line(f"run {result['run']} {result.get('status') or ''}{took} · report ", (f"{result['folder']}/report.html", "key"))


def draw_verdict(screen: Screen, verdict: dict) -> None:
    """The sentences first, then the table they stand on."""
    screen.line((visible(verdict["sentence"]), "head"))
    screen.line("")
    screen.draw(_contestants(screen, verdict))
    difference, against = verdict.get("difference"), verdict.get("against")
    if difference and against:
        sign = "good" if difference["low"] > 0 else "bad" if difference["high"] < 0 else "warn"
        screen.line(
            f"tuned minus {against}, paired: ", (f"{difference['value']:+.3f}", sign), f"  95 % [{difference['low']:+.3f}, {difference['high']:+.3f}]",
            (f"  positive is better · {verdict['n']:,} test rows", "faint"),
        )
    if verdict.get("minimum_detectable") is not None:
        screen.line((f"smallest difference these rows can show: {verdict['minimum_detectable']:.3f}", "faint"))
    screen.line("")


def _contestants(screen: Screen, verdict: dict) -> Table:
    rows = [row for row in verdict["contestants"] if row.get("value") is not None]
    best_first = sorted(rows, key=lambda row: row["value"], reverse=verdict.get("higher_is_better", True))
    largest = max((row["high"] if row.get("high") is not None else row["value"] for row in rows), default=1) or 1
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint", pad_edge=False)
    for title, justify in (("", "left"), (verdict["metric"], "right"), ("95 % interval", "left"), ("", "left"), ("per answer", "right"), ("cost of 1,000", "right")):
        table.add_column(title, justify=justify, no_wrap=True)
    for row in best_first:
        style = "good" if row["name"] == verdict.get("winner") else ""
        interval = f"{row['low']:.3f} - {row['high']:.3f}" if row.get("low") is not None else ""
        spent = row.get("seconds_per_answer")
        cells = (visible(row["name"]), f"{row['value']:.3f}", interval, _bar(screen, row["value"] / largest), "" if spent is None else _per_answer(spent), _amount(row.get("cost_per_thousand")))
        table.add_row(*(Text(cell) for cell in cells), style=style)
    return table


def _amount(cost: float | None) -> str:
    if cost is None:
        return ""
    return f"{cost:,.2f}" if cost >= 0.005 or cost == 0 else "< 0.01"


def _per_answer(seconds: float) -> str:
    if seconds >= 1:
        return duration(seconds)
    return f"{seconds * 1000:.1f} ms" if seconds >= 1e-4 else "< 0.1 ms"


def _bar(screen: Screen, share: float) -> str:
    cells = round(max(0.0, min(1.0, share)) * BAR_CELLS)
    return ("━" if screen.draws_unicode else "=") * cells


def draw_question(screen: Screen, question: dict) -> None:
    """One question and what the base and the tuned model make of it, beside the wanted answer."""
    for name, style in (("input", "head"), ("base", ""), ("tuned", "good"), ("target", "faint")):
        if question.get(name) is not None:
            screen.line((f"{'asked' if name == 'input' else name:>7}  ", "faint"), (in_one_line(question[name], 400), style))
    screen.line("")
