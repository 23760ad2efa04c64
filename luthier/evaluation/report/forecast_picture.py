"""The learning curve: what pilots on parts of the rows reached, the power law through them with its band, and what then happened."""
from collections.abc import Sequence

import numpy as np

from luthier.evaluation.learning_curve import Forecast, Pilot, forecast
from luthier.evaluation.report.document import Picture
from luthier.evaluation.report.folder import items, number, word
from luthier.evaluation.report.pictures import WIDE, both
from luthier.evaluation.report.svg import Canvas, padded, scale, tick_words, ticks
from luthier.evaluation.wording import LOWER_IS_BETTER, figure, metric_words

POINTS = 24
"""Sizes at which the curve is drawn."""


def learning_curve(told: dict, metric: str) -> Picture | None:
    """From what advice wrote down (`pilots`, and `expected`, `low`, `high`, `rows` of its forecast; `happened` where the run came); None without two pilots of different size."""
    pilots = [one for one in items(told, "pilots") if isinstance(one, dict) and all(number(one.get(key)) is not None for key in ("rows", "value", "low", "high"))]
    end = number(told.get("rows"))
    if len({one["rows"] for one in pilots}) < 2 or end is None or end < max(one["rows"] for one in pilots) or metric == "":
        return None
    sizes = np.unique(np.geomspace(min(one["rows"] for one in pilots), 1.25 * end, POINTS).round()).astype(int)
    measured = [Pilot(int(one["rows"]), one["value"], max(1e-6, (one["high"] - one["low"]) / 3.92)) for one in pilots]
    curve = forecast(measured, sizes.tolist(), higher_is_better=metric not in LOWER_IS_BETTER, best=100.0 if metric == "chrf" else 1.0)
    happened = number(told.get("happened"))
    return drawn(pilots, curve, (int(end), number(told.get("expected")), number(told.get("low")), number(told.get("high"))), happened, metric)


def drawn(pilots: Sequence[dict], curve: Sequence[Forecast], end: tuple, happened: float | None, metric: str) -> Picture:
    rows, expected, low_end, high_end = end
    values = [value for one in curve for value in (one.low, one.high)] + [one[key] for one in pilots for key in ("value", "low", "high")] + ([happened] if happened is not None else [])
    low, high = padded(values)
    sizes = ", ".join(f"{one['rows']:,.0f}" for one in pilots)
    sentence = f"Pilots on {sizes} rows let expect {metric_words(metric)} {figure(expected, metric)} with all {rows:,} (80 % band {figure(low_end, metric)} to {figure(high_end, metric)})"
    sentence += "." if happened is None else f"; it became {figure(happened, metric)}, {'inside' if (low_end or 0) <= happened <= (high_end or 0) else 'outside'} the band."

    def draw(width: int) -> Canvas:
        height = 300 if width == WIDE else 240
        canvas = Canvas(width, height)
        left, right, up, down = 46, width - 14, 24, height - 38
        x, y = scale(0, max(one.rows for one in curve), left, right), scale(low, high, down, up)
        for value, words in zip(ticks(low, high, 5), tick_words(ticks(low, high, 5))):
            canvas.line(left, y(value), right, y(value), "grid")
            canvas.text(left - 6, y(value) + 4, words, anchor="end")
        for value in ticks(0, max(one.rows for one in curve), 6 if width == WIDE else 3):
            canvas.text(x(value), down + 18, f"{value:,.0f}", anchor="middle" if value else "start")
        canvas.line(left, down, right, down)
        canvas.polygon([(x(one.rows), y(one.low)) for one in curve] + [(x(one.rows), y(one.high)) for one in reversed(curve)], "band", "the middle 80 % of the forecasts")
        for side in ("low", "high"):
            canvas.path([(x(one.rows), y(getattr(one, side))) for one in curve], "baseline")
        canvas.path([(x(one.rows), y(one.value)) for one in curve], "validation")
        for one in pilots:
            canvas.line(x(one["rows"]), y(one["low"]), x(one["rows"]), y(one["high"]), "other interval")
            canvas.dot(x(one["rows"]), y(one["value"]), 5, "other mark", f"pilot on {one['rows']:,.0f} rows: {figure(one['value'], metric)}")
        if happened is not None:
            canvas.star(x(rows), y(happened), 9, "star", f"all {rows:,} rows: {figure(happened, metric)}")
        canvas.text(right, down + 34, "training rows", "small", "end")
        canvas.text(left - 40, 12, metric_words(metric), "small")
        return canvas

    lines = [[f"{one.rows}", f"{one.value:.6g}", f"{one.low:.6g}", f"{one.high:.6g}", ""] for one in curve]
    lines += [[f"{one['rows']:.0f}", f"{one['value']:.6g}", f"{one['low']:.6g}", f"{one['high']:.6g}", "pilot"] for one in pilots]
    lines += [[str(rows), f"{happened:.6g}", "", "", "happened"]] if happened is not None else []
    return both("Learning curve with its forecast", sentence, draw, ["rows", word(metric), "low", "high", "what"], lines)
