"""What the decision stands on: cost against quality with the frontier, and rows won, tied and lost against each other contestant."""
import itertools
import math
from collections.abc import Sequence

from luthier.evaluation.report.document import Block, Picture, Table
from luthier.evaluation.report.folder import RunFiles, inner, items, number, word
from luthier.evaluation.report.forecast_picture import learning_curve
from luthier.evaluation.report.pictures import WIDE, both, shares
from luthier.evaluation.report.svg import Canvas, padded, scale, tick_words, ticks
from luthier.evaluation.wording import LOWER_IS_BETTER, figure, metric_words


def blocks(run: RunFiles) -> list[Block]:
    """The parts that the folder has what it takes for."""
    decision, lines = inner(run.verdict, "decision"), [line for line in items(run.verdict, "contestants") if isinstance(line, dict)]
    priced = [line for line in lines if number(line.get("value")) is not None and number(line.get("cost_per_thousand")) is not None]
    found: list[Block] = []
    if decision and len(priced) > 1:
        found.append(frontier(run, decision, priced))
    if tallies := [tally for line in lines if line.get("name") != "tuned" and (tally := against(run, word(line.get("name"))))]:
        found.append(won_and_lost(run, tallies))
    if told := [one for one in items(run.facts, "forecasts") if isinstance(one, dict)]:
        found.append(forecasts(run, told))
        found += [picture for one in told[:1] if (picture := learning_curve(one, word(run.verdict.get("metric"))))]
    return found


# ---- cost and quality ---------------------------------------------------------------------------
def frontier(run: RunFiles, decision: dict, lines: Sequence[dict]) -> Picture:
    """Everyone's figure over what 1,000 answers cost; the line joins those whom nobody beats at their price."""
    metric, winner, volume = word(run.verdict.get("metric")), word(decision.get("winner")), number(decision.get("volume")) or 0
    sign = -1 if metric in LOWER_IS_BETTER else 1
    points = sorted((float(line["cost_per_thousand"]), float(line["value"]), word(line["name"])) for line in lines)
    edge, best = [], -math.inf
    for cost, value, name in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if sign * value > best:
            best = sign * value
            edge.append((cost, value, name))
    # Costs run over several powers of ten, and some are nothing: the scale is logarithmic from a hundredth of the dearest on.
    floor = max(point[0] for point in points) / 1000 or 1.0

    def place(cost: float) -> float:
        return math.log10(max(cost, floor))

    currency = word(decision.get("currency"))
    sentence = (
        f"{winner} is the cheapest that is not surely worse than the best by more than {figure(number(decision.get('margin')), metric)}; costs are of 1,000 answers "
        f"if {volume:,.0f} are asked, in {currency}. The line joins those whom nobody beats at their price."
    )

    def draw(width: int) -> Canvas:
        canvas = Canvas(width, 300)
        left, right, top, down = 46, width - (120 if width == WIDE else 70), 24, 256
        low, high = padded([value for _, value, _ in points])
        x, y = scale(place(floor), place(max(point[0] for point in points)) or 1.0, left + 10, right), scale(low, high, down, top)
        for value, words in zip(ticks(low, high, 4), tick_words(ticks(low, high, 4))):
            canvas.line(left, y(value), right + 8, y(value), "grid")
            canvas.text(left - 6, y(value) + 4, words, anchor="end")
        for power in range(math.ceil(place(floor)), math.floor(place(max(point[0] for point in points))) + 1):
            canvas.text(x(power), down + 18, f"{10.0**power:g}", anchor="middle")
        canvas.line(left, down, right + 8, down)
        canvas.text(right, down + 36, f"cost of 1,000 answers, {currency}", "small", "end")
        canvas.text(left - 40, 12, metric_words(metric), "small")
        canvas.path([(x(place(cost)), y(value)) for cost, value, _ in edge], "middle")
        taken: list[tuple[float, float]] = []
        below = crossed([(x(place(cost)), name) for cost, _, name in edge])
        for cost, value, name in points:
            hover = f"{name}: {figure(value, metric)} at {cost:,.4g} {currency}"
            if name == winner:
                canvas.star(x(place(cost)), y(value), 9, "star", hover)
            else:
                canvas.dot(x(place(cost)), y(value), 5, "other mark", hover)
            up = free_place(taken, x(place(cost)), y(value) + (18 if name in below else 4))
            canvas.text(x(place(cost)) + 11, up, name, "strong" if name == winner else "tick", room=110 if width == WIDE else 60)
        return canvas

    lines_out = [[name, f"{cost:.6g}", f"{value:.6g}", "yes" if name in {one[2] for one in edge} else "no"] for cost, value, name in points]
    return both("Cost and quality", sentence, draw, ["contestant", "cost of 1,000", metric, "on the frontier"], lines_out)


def crossed(edge: Sequence[tuple[float, str]]) -> set[str]:
    """Who of the line's points, (x, name) from left to right, has the line go on to the right, through where the name stands."""
    return {name for (x, name), (after, _) in itertools.pairwise(edge) if after > x + 20}


def free_place(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """A height at which a name does not stand on another one."""
    while any(abs(x - other_x) < 90 and abs(y - other_y) < 12 for other_x, other_y in taken):
        y += 12
    taken.append((x, y))
    return y


# ---- rows ---------------------------------------------------------------------------------------
def against(run: RunFiles, name: str) -> tuple[str, int, int, int] | None:
    """(name, rows that tuned did better on, as well, worse)."""
    own, other = run.evaluated("tuned"), {number(row.get("row")): number(row.get("score")) for row in run.evaluated(name)}
    sign = -1 if word(run.verdict.get("metric")) in LOWER_IS_BETTER else 1
    gains = [sign * (score - other[at]) for row in own if (score := number(row.get("score"))) is not None and other.get(at := number(row.get("row"))) is not None]
    if not gains:
        return None
    better, worse = sum(gain > 1e-9 for gain in gains), sum(gain < -1e-9 for gain in gains)
    return name, better, len(gains) - better - worse, worse


def won_and_lost(run: RunFiles, tallies: Sequence[tuple[str, int, int, int]]) -> Picture:
    rows = [(name, [("won", better, "part learned"), ("as well", same, "part context"), ("lost", worse, "part cut")]) for name, better, same, worse in tallies]
    worst = max(tallies, key=lambda tally: tally[3])
    sentence = f"Row by row, tuned loses most often to {worst[0]}: on {worst[3]:,} rows, against {worst[1]:,} that it wins. luthier examples {run.name} --lost shows those that the base had right."
    return shares("Rows won, tied and lost by tuned", sentence, rows, unit="rows")


# ---- forecasts ----------------------------------------------------------------------------------
def forecasts(run: RunFiles, told: Sequence[dict]) -> Table:
    """What earlier advice expected, and what happened."""
    metric = word(run.verdict.get("metric"))
    lines = [
        [word(one.get("run")), figure(number(one.get("expected")), metric), f"{figure(number(one.get('low')), metric)} to {figure(number(one.get('high')), metric)}",
         figure(number(one.get("happened")), metric), "inside" if one.get("inside") else "outside"]
        for one in told
    ]
    return Table(["advice", "expected", "80 % band", "happened", "the band"], lines, frozenset({1, 2, 3}), "Forecasts made before, and what happened")
