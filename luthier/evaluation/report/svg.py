"""Inline SVG in a few words: a canvas that escapes all text, linear scales, round ticks. Colours are CSS classes, for light and dark."""
import math
from collections.abc import Callable, Sequence

from luthier.evaluation.report.escape import html, short

LETTER = 6.7
"""Width of an average letter at the size that pictures use, in pixels."""


def number(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


class Canvas:
    """Shapes on a drawing of fixed width and height in pixels; the origin is at the top left."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.shapes: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> None:
        self.shapes.append(f'<line class="{kind}" x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"/>')

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        if points:
            steps = " ".join(f"{number(x)},{number(y)}" for x, y in points)
            self.shapes.append(f'<polyline class="{kind}" points="{steps}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "tick", anchor: str = "start", room: float = 0) -> None:
        """Words; where they do not fit into `room` pixels they are cut and shown whole on hover."""
        cut = short(words, max(2, int(room / LETTER))) if room else words
        title = f"<title>{html(words)}</title>" if cut != words else ""
        self.shapes.append(f'<text class="{kind}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{html(cut)}{title}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str, *, hover: str = "", opacity: float | None = None) -> None:
        strength = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
        title = f"<title>{html(hover)}</title>" if hover else ""
        place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
        self.shapes.append(f'<rect class="{kind}" {place}{strength}>{title}</rect>')

    def dot(self, x: float, y: float, radius: float, kind: str, hover: str = "") -> None:
        title = f"<title>{html(hover)}</title>" if hover else ""
        self.shapes.append(f'<circle class="{kind}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}">{title}</circle>')

    def polygon(self, points: Sequence[tuple[float, float]], kind: str, hover: str = "") -> None:
        title = f"<title>{html(hover)}</title>" if hover else ""
        steps = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self.shapes.append(f'<polygon class="{kind}" points="{steps}">{title}</polygon>')

    def star(self, x: float, y: float, radius: float, kind: str, hover: str = "") -> None:
        """A five-pointed star."""
        corners = [(radius if i % 2 == 0 else radius * 0.42, math.pi * (i / 5 - 0.5)) for i in range(10)]
        self.polygon([(x + r * math.cos(angle), y + r * math.sin(angle)) for r, angle in corners], kind, hover)

    def drawn(self, name: str) -> str:
        """The SVG, named for those who cannot see it."""
        size = f'viewBox="0 0 {number(self.width)} {number(self.height)}" width="{number(self.width)}" height="{number(self.height)}"'
        return f'<svg role="img" aria-label="{html(name)}" {size}>{"".join(self.shapes)}</svg>'


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From values to pixels; a span of nothing maps to the middle."""
    if high == low:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values that lie between two ends (1, 2, 2.5 or 5 times a power of ten apart)."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, count)
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def tick_words(values: Sequence[float]) -> list[str]:
    """Ticks with the same, least number of decimals; small ones by powers of ten."""
    if 0 < max(abs(value) for value in values) < 0.01:
        return [powers_of_ten(value) for value in values]
    decimals = next((d for d in range(7) if all(abs(round(value, d) - value) < 1e-9 for value in values)), 6)
    return [f"{value:,.{decimals}f}".replace("-", "−") for value in values]


def powers_of_ten(value: float) -> str:
    """0.0002 as 2e−4."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return "0" if not value else f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """The ends of values with a little room beyond them."""
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room
