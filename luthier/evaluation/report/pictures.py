"""The report's pictures: each is drawn for wide and for narrow screens, says in one sentence what it shows, and carries its numbers.

Nothing is told by colour alone: lines differ in dash, marks in shape, cells hold their counts.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.evaluation.report.document import Picture
from luthier.evaluation.report.svg import Canvas, padded, scale, tick_words, ticks
from luthier.evaluation.wording import figure

WIDE, NARROW = 720, 320
MOST_POINTS = 400
"""Points of a line or a cloud; more cannot be told apart."""


def both(title: str, sentence: str, draw: Callable[[int], Canvas], head: Sequence[str], lines: Sequence[Sequence[str]]) -> Picture:
    """The picture at both widths."""
    name = f"{title}. {sentence}"
    return Picture(title, sentence, draw(WIDE).drawn(name), draw(NARROW).drawn(name), head, lines)


def spread_out(values: Sequence, most: int = MOST_POINTS) -> list:
    """At most so many of the values, evenly spread, first and last included."""
    if len(values) <= most:
        return list(values)
    return [values[index] for index in np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))]


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average over about a twentieth of the line, at least five values; it starts at the mean of its first values."""
    span = max(5, len(values) // 20)
    average = float(np.mean(values[: max(3, span // 3)]))
    found = []
    for value in values:
        average += (value - average) * 2 / (1 + span)
        found.append(average)
    return found


# ---- lines over steps ---------------------------------------------------------------------------
@dataclass(frozen=True)
class Line:
    """Values over steps."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str
    """CSS class: train, validation, rate ..."""
    smooth: bool = False
    """Raw at 40 % with its moving average on top."""
    dots: bool = False


def curves(
    title: str, sentence: str, drawn_lines: Sequence[Line], *, best: tuple[float, float] | None = None, baseline: float | None = None, epochs: Sequence[tuple[float, str]] = ()
) -> Picture:
    """Lines over steps on one axis, the best step marked, the untrained value dashed, epochs as ticks below."""
    drawn_lines = [line for line in drawn_lines if line.points]
    top = ceiling(drawn_lines, baseline)
    low = min([value for line in drawn_lines for _, value in line.points] + ([baseline] if baseline is not None else []))
    low, high = padded([low, top])
    last = max(step for line in drawn_lines for step, _ in line.points)
    head, lines = numbers_of(drawn_lines)

    def draw(width: int) -> Canvas:
        height = 300 if width == WIDE else 240
        canvas = Canvas(width, height)
        left, right, up, down = 46, width - 10, 34 if width == WIDE else 50, height - 34
        x, y = scale(0, last or 1, left, right), scale(low, high, down, up)
        grid(canvas, x, y, low, high, last, (left, right, up, down), epochs)
        if baseline is not None:
            canvas.line(left, y(baseline), right, y(baseline), "baseline")
        for line in drawn_lines:
            one_line(canvas, line, x, lambda value: y(min(value, top)))
        if best is not None:
            canvas.line(x(best[0]), up, x(best[0]), down, "best")
            canvas.star(x(best[0]), y(min(best[1], top)), 8, "star", f"best: step {best[0]:,.0f}, {figure(best[1])}")
        legend(canvas, drawn_lines, baseline is not None, best is not None, left, width)
        return canvas

    return both(title, sentence, draw, head, lines)


def ceiling(drawn_lines: Sequence[Line], baseline: float | None) -> float:
    """The highest value shown: all of validation and the baseline, and training up to its 95th percentile, so that one spike hides nothing."""
    tops = [float(np.quantile([v for _, v in line.points], 0.95)) if line.smooth and len(line.points) > 40 else max(v for _, v in line.points) for line in drawn_lines]
    smooth = [max(smoothed([v for _, v in line.points])) for line in drawn_lines if line.smooth]
    return max([*tops, *smooth, *([baseline] if baseline is not None else [])])


def one_line(canvas: Canvas, line: Line, x: Callable, y: Callable) -> None:
    """A line, raw and smoothed or with a dot at every value."""
    averages = smoothed([value for _, value in line.points]) if line.smooth else []
    raw = spread_out([(x(step), y(value)) for step, value in line.points])
    canvas.path(raw, f"{line.kind} raw" if line.smooth else line.kind)
    if line.smooth:
        canvas.path(spread_out([(x(step), y(value)) for (step, _), value in zip(line.points, averages)]), line.kind)
    if line.dots:
        for step, value in spread_out(line.points, 60):
            canvas.dot(x(step), y(value), 3, f"{line.kind} mark", f"step {step:,.0f}: {line.name} {figure(value)}")


def grid(canvas: Canvas, x, y, low: float, high: float, last: float, frame: tuple, epochs: Sequence[tuple[float, str]]) -> None:
    """Lines and words of both axes; epochs as small strokes."""
    left, right, _, down = frame
    values = ticks(low, high, 5)
    for value, words in zip(values, tick_words(values)):
        canvas.line(left, y(value), right, y(value), "grid")
        canvas.text(left - 6, y(value) + 4, words, anchor="end")
    canvas.line(left, down, right, down)
    steps = [step for step in ticks(0, last, 6 if right > 400 else 3) if step == int(step)]
    for step in steps:
        canvas.text(x(step), down + 28, f"{step:,.0f}", anchor="middle" if step else "start")
    for step, words in epochs:
        canvas.line(x(step), down, x(step), down + 6)
        canvas.text(x(step), down + 16, words, "small", "middle" if step < last * 0.97 else "end")
    if not steps or steps[-1] < last * 0.85:
        canvas.text(right, down + 28, "step", "small", "end")


def legend(canvas: Canvas, drawn_lines: Sequence[Line], baseline: bool, best: bool, left: float, width: int) -> None:
    """Names of the lines beside a piece of each, above the picture; wraps on narrow screens."""
    entries = [(line.name, line.kind) for line in drawn_lines] + [("before training", "baseline")] * baseline + [("kept", "star")] * best
    x, y = left, 14
    for name, kind in entries:
        room = 34 + 6.6 * len(name)
        if x + room > width and x > left:
            x, y = left, y + 18
        if kind == "star":
            canvas.star(x + 10, y - 4, 7, "star")
        else:
            canvas.line(x, y - 4, x + 20, y - 4, kind)
        canvas.text(x + 25, y, name, "legend")
        x += room + 10


def numbers_of(drawn_lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """The numbers behind the lines as one table by step."""
    chosen = [dict(spread_out(line.points, 200)) for line in drawn_lines]
    steps = sorted({step for points in chosen for step in points})
    cells = [[f"{step:.0f}", *(f"{points[step]:.6g}" if step in points else "" for points in chosen)] for step in steps]
    return ["step", *(line.name for line in drawn_lines)], cells


# ---- contestants --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Bar:
    """A value with its interval."""

    name: str
    value: float
    low: float
    high: float
    ours: bool = False


def intervals(title: str, sentence: str, bars: Sequence[Bar], metric: str, *, zero: bool = False, signed: bool = False) -> Picture:
    """One line per contestant: a mark with its interval; ours is a filled diamond. `zero` draws the line of no difference."""
    low, high = padded([end for bar in bars for end in (bar.low, bar.high, bar.value)] + ([0.0] if zero else []))
    head = ["contestant", "value", "low", "high"]
    lines = [[bar.name, *(f"{value:.6g}" for value in (bar.value, bar.low, bar.high))] for bar in bars]

    def draw(width: int) -> Canvas:
        stacked = width == NARROW
        step, up = (46, 8) if stacked else (34, 10)
        canvas = Canvas(width, up + step * len(bars) + 26)
        left, right = (8, width - 8) if stacked else (30 + min(120, 7 * max(len(bar.name) for bar in bars)), width - 190)
        x, down = scale(low, high, left, right), up + step * len(bars)
        values = ticks(low, high, 3 if stacked else 5)
        for value, words in zip(values, tick_words(values)):
            # on narrow screens the words stand between the lines, so that no line runs through them
            middles = [up + step * index + 32 for index in range(len(bars))]
            for top, end in [(middle - 9, middle + 9) for middle in middles] if stacked else [(up, down)]:
                canvas.line(x(value), top, x(value), end, "zero" if zero and value == 0 else "grid")
            canvas.text(x(value), down + 18, words, anchor="middle")
        for index, bar in enumerate(bars):
            middle = up + step * index + (32 if stacked else step / 2)
            words = f"{figure(bar.value, metric, signed=signed)}  ({figure(bar.low, metric, signed=signed)} to {figure(bar.high, metric, signed=signed)})"
            kind = "strong" if bar.ours else "label"
            if stacked:
                canvas.text(left, middle - 14, bar.name, kind, room=120)
                canvas.text(right, middle - 14, words, "tick", "end")
            else:
                canvas.text(left - 12, middle + 4, bar.name, kind, "end", room=140)
                canvas.text(right + 14, middle + 4, words, "strong" if bar.ours else "tick")
            whisker(canvas, bar, x, middle, words)
        return canvas

    return both(title, sentence, draw, head, lines)


def whisker(canvas: Canvas, bar: Bar, x: Callable, middle: float, words: str) -> None:
    """The interval with its ends, and the mark."""
    kind = "ours" if bar.ours else "other"
    canvas.line(x(bar.low), middle, x(bar.high), middle, f"{kind} interval")
    for end in (bar.low, bar.high):
        canvas.line(x(end), middle - 5, x(end), middle + 5, f"{kind} interval")
    centre, hover = x(bar.value), f"{bar.name}: {words}"
    if bar.ours:
        canvas.polygon([(centre, middle - 8), (centre + 8, middle), (centre, middle + 8), (centre - 8, middle)], "ours mark", hover)
    else:
        canvas.dot(centre, middle, 5, "other mark", hover)


# ---- confusion ----------------------------------------------------------------------------------
def confusion_matrix(title: str, sentence: str, labels: Sequence[str], counts_LL: np.ndarray) -> Picture:
    """Counts with targets as lines and answers as columns, shaded by the share of the line."""
    head = ["target", *labels]
    lines = [[label, *(str(int(count)) for count in counts_L)] for label, counts_L in zip(labels, counts_LL)]

    def draw(width: int) -> Canvas:
        shown = labels if width == WIDE else labels[:8]
        names = min(190, 12 + 7 * max(len(label) for label in shown)) if width == WIDE else 92
        side = min(56.0, (width - names - 8) / len(shown))
        over = min(names, 110)
        canvas = Canvas(min(width, names + side * len(shown) + over * 0.6), over + side * len(shown) + 8)
        for row, target in enumerate(shown):
            total = max(1, int(counts_LL[row].sum()))
            canvas.text(names - 8, over + side * (row + 0.5) + 4, target, "label", "end", room=names - 10)
            slanted(canvas, names + side * (row + 0.5), over - 8, target, over)
            for column, answer in enumerate(shown):
                count = int(counts_LL[row, column])
                place = (names + side * column, over + side * row)
                share = count / total
                hover = f"{count} of {total} rows of {target} were answered {answer}"
                canvas.box(*place, side - 2, side - 2, "cell none")
                if count:
                    canvas.box(*place, side - 2, side - 2, "cell right" if row == column else "cell wrong", hover=hover, opacity=0.12 + 0.78 * share)
                    kind = "count strong" if share > 0.55 else "count"
                    canvas.text(place[0] + side / 2 - 1, place[1] + side / 2 + 3, str(count), kind, "middle")
                if row == column:
                    canvas.box(*place, side - 2, side - 2, "diagonal")
        return canvas

    return both(title, sentence, draw, head, lines)


def slanted(canvas: Canvas, x: float, y: float, words: str, room: float) -> None:
    """A column's name, turned so that long names fit."""
    before = len(canvas.shapes)
    canvas.text(0, 0, words, "label", room=room * 1.05)
    canvas.shapes[before] = f'<g transform="translate({x:.1f} {y:.1f}) rotate(-55)">{canvas.shapes[before]}</g>'


# ---- clouds -------------------------------------------------------------------------------------
def cloud(title: str, sentence: str, points: Sequence[tuple[float, float, str]], across: str, up_words: str, middles: Sequence[tuple[float, float]]) -> Picture:
    """One dot per row, with the median of each stretch as a line; every point is (x, y, hover)."""
    head = [across, up_words]
    lines = [[f"{x:.6g}", f"{y:.6g}"] for x, y, _ in spread_out(points, 200)]
    low_x, high_x = min(0.0, *(x for x, _, _ in points)), max(x for x, _, _ in points) * 1.04 or 1.0
    low_y, high_y = padded([y for _, y, _ in points])

    def draw(width: int) -> Canvas:
        height = 280 if width == WIDE else 230
        canvas = Canvas(width, height)
        left, right, top, down = 46, width - 12, 24, height - 38
        x, y = scale(low_x, high_x, left, right), scale(low_y, high_y, down, top)
        values = ticks(low_y, high_y, 4)
        for value, words in zip(values, tick_words(values)):
            canvas.line(left, y(value), right, y(value), "grid")
            canvas.text(left - 6, y(value) + 4, words, anchor="end")
        for value in ticks(low_x, high_x, 6 if width == WIDE else 4):
            canvas.text(x(value), down + 18, f"{value:,.0f}", anchor="middle")
        canvas.line(left, down, right, down)
        canvas.text(right, down + 34, across, "small", "end")
        canvas.text(left - 40, 12, up_words, "small")
        for at, value, hover in spread_out(points, 350 if width == WIDE else 150):
            canvas.dot(x(at), y(value), 3.2, "point", hover)
        canvas.path([(x(at), y(value)) for at, value in middles], "middle")
        return canvas

    return both(title, sentence, draw, head, lines)


# ---- shares -------------------------------------------------------------------------------------
def shares(title: str, sentence: str, rows: Sequence[tuple[str, Sequence[tuple[str, float, str]]]], *, unit: str = "tokens") -> Picture:
    """One bar per line, cut into named parts (name, amount, CSS class); parts differ in pattern of edge as well as in shade."""
    head = ["split", *(name for name, _, _ in rows[0][1])]
    lines = [[name, *(f"{amount:.0f}" for _, amount, _ in parts)] for name, parts in rows]

    def draw(width: int) -> Canvas:
        left = 100 if width == WIDE else 4
        step = 34 if width == WIDE else 46
        canvas = Canvas(width, 26 + step * len(rows))
        at = left
        for name, _, kind in rows[0][1]:
            canvas.box(at, 4, 12, 12, kind)
            canvas.text(at + 17, 14, name, "legend")
            at += 34 + 7 * len(name)
        for index, (name, parts) in enumerate(rows):
            up = 26 + step * index
            total = sum(amount for _, amount, _ in parts) or 1
            over = up + (18 if width == NARROW else 4)
            canvas.text(left if width == NARROW else left - 12, up + (12 if width == NARROW else 20), name, "label", "start" if width == NARROW else "end")
            at = float(left)
            for part, amount, kind in parts:
                length = (width - left - 8) * amount / total
                canvas.box(at, over, max(0.0, length - 1), 20, kind, hover=f"{name}: {amount:,.0f} {unit} {part} ({100 * amount / total:.1f} %)")
                at += length
        return canvas

    return both(title, sentence, draw, head, lines)
