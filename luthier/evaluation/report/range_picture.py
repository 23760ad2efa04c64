"""The picture of a learning-rate range test, as an SVG file of its own."""
import math
from collections.abc import Mapping, Sequence

from luthier.evaluation.report.svg import Canvas, padded, scale, tick_words, ticks

STYLE = (
    "<style>text{font:12px sans-serif;fill:#333}.axis{stroke:#888}.grid{stroke:#ddd}.raw{fill:none;stroke:#aaa}.line{fill:none;stroke:#1f5fae;stroke-width:2}"
    ".mark{stroke:#b3541e;stroke-dasharray:4 3}</style>"
)


def draw(points: Sequence[Mapping], suggestion: float | None, upper: float | None) -> str:
    """Loss against rate on a logarithmic scale: every step, the smoothed line, and the rates suggested."""
    canvas = Canvas(720, 320)
    rates = [math.log10(point["rate"]) for point in points]
    smooth = [point["smooth"] for point in points]
    low, high = padded(smooth)
    x, y = scale(rates[0], rates[-1], 56, 700), scale(low, high, 270, 24)
    for value, words in zip(ticks(low, high), tick_words(ticks(low, high))):
        canvas.line(56, y(value), 700, y(value), "grid")
        canvas.text(50, y(value) + 4, words, anchor="end")
    for power in range(math.ceil(rates[0]), math.floor(rates[-1]) + 1):
        canvas.line(x(power), 270, x(power), 275)
        canvas.text(x(power), 290, f"1e{power}", anchor="middle")
    canvas.line(56, 270, 700, 270)
    canvas.path([(x(rate), y(min(max(point["loss"], low), high))) for rate, point in zip(rates, points)], "raw")
    canvas.path([(x(rate), y(value)) for rate, value in zip(rates, smooth)], "line")
    for value, words in ((suggestion, "steepest"), (upper, "at most")):
        if value:
            canvas.line(x(math.log10(value)), 24, x(math.log10(value)), 270, "mark")
            canvas.text(x(math.log10(value)) + 4, 36 if words == "steepest" else 52, f"{words} {value:.1e}")
    canvas.text(700, 310, "learning rate", anchor="end")
    canvas.text(8, 14, "loss, nats")
    drawn = canvas.drawn("Loss against learning rate")
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(">", f">{STYLE}", 1)
