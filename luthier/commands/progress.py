"""Progress: a bar with rate and time left on a terminal, a plain line now and then in a pipe; and the table of steps."""

import time

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

SECONDS_BETWEEN_LINES = 15.0
"""In a pipe, a long task tells where it is this often."""

COLUMNS = {  # of the table of steps: key of the row -> title, width, how it is written
    "step": ("step", 6, lambda value: f"{value:,}"),
    "epoch": ("epoch", 6, lambda value: f"{value:.2f}"),
    "train": ("train", 8, lambda value: figure(value)),
    "validation": ("valid", 8, lambda value: figure(value)),
    "learning_rate": ("rate", 8, lambda value: f"{value:.1e}".replace("e-0", "e-") if value else "0"),
    "tokens_per_second": ("tok/s", 7, lambda value: short(value)),
    "memory": ("mem", 8, lambda value: size(value)),
}
NOT_METRICS = {*COLUMNS, "steps", "best"}


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def short(number: float) -> str:
    """A count in at most five characters: 950, 3.2k, 21k, 1.4M."""
    for divisor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= divisor:
            return f"{number / divisor:.1f}{letter}" if number < 10 * divisor else f"{number / divisor:.0f}{letter}"
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"


def size(num_bytes: float) -> str:
    """Bytes in words: 512 B, 3.0 GB."""
    for divisor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(num_bytes) >= divisor:
            return f"{num_bytes / divisor:.1f} {unit}"
    return f"{num_bytes:.0f} B"


def duration(seconds: float) -> str:
    """Time in words: 0.4 s, 38 s, 4 min 09 s, 2 h 05 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def pace(rate: float, unit: str) -> str:
    """Items a second, or seconds an item where that is the larger number."""
    return f"{short(rate)} {unit}/s" if rate >= 1 else f"{duration(1 / rate)} a {unit.removesuffix('s')}" if rate > 0 else ""


class _Rate(ProgressColumn):
    """Items a second and the time left."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        words = pace(rate, task.fields["unit"]) if rate else ""
        if task.time_remaining is not None and not task.finished:
            words += f" · {duration(task.time_remaining)} left"
        return Text(" · ".join(filter(None, [words, task.fields["words"]])), style="faint")


class Progress:
    """What is going on; everything goes to one console, above the bar while there is one."""

    def __init__(self, console: Console, *, quiet: bool = False):
        self.console, self.quiet = console, quiet
        self.bars: Bars | None = None
        self.tasks: dict[str, int] = {}
        self.started: dict[str, tuple[float, int]] = {}
        self.last_line = 0.0
        self.cells: dict[str, tuple] = {}

    def print(self, text: Text) -> None:
        """A whole line, not broken in a pipe."""
        self.console.print(text, soft_wrap=not self.console.is_terminal)

    def update(self, data: dict, words: str = "") -> None:
        """`data` has task, done, total (None when unknown) and unit; `words` stand beside the bar."""
        if self.quiet:
            return
        if self.console.is_terminal:
            self._bar(data, words)
        else:
            self._line(data, words)

    def _bar(self, data: dict, words: str) -> None:
        if self.bars is None:
            rate = _Rate(table_column=Column(no_wrap=True, overflow="ellipsis"))
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), TextColumn("{task.fields[count]}", style="faint"), rate)
            self.bars = Bars(*columns, console=self.console, transient=True, refresh_per_second=4)
            self.bars.start()
        name, total = data["task"], data.get("total")
        count = f"{data['done']:,}" + (f"/{total:,}" if total else "")
        fields = {"unit": data.get("unit") or "", "count": count, "words": words}
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=total, **fields)
        self.bars.update(self.tasks[name], completed=data["done"], total=total, **fields)
        if total and data["done"] >= total:
            self.bars.remove_task(self.tasks.pop(name))

    def _line(self, data: dict, words: str) -> None:
        now, done, total = time.monotonic(), data["done"], data.get("total")
        began, before = self.started.setdefault(data["task"], (now, done))
        if done < before or total and done >= total:  # the same words for another piece of work, or its end: the next begins anew
            began, before = now, done
            self.started.pop(data["task"])
        self.last_line = self.last_line or now
        if now - self.last_line < SECONDS_BETWEEN_LINES:
            return
        self.last_line = now
        rate = (done - before) / (now - began) if now > began else 0.0
        left = f" · {duration((total - done) / rate)} left" if total and rate else ""
        speed = f" · {pace(rate, data.get('unit') or '')}" if rate else ""
        self.print(Text(f"{data['task']} {done:,}{f'/{total:,}' if total else ''}{speed}{left}{f' · {words}' if words else ''}"))

    def step(self, row: dict) -> None:
        """One line of the table; what is no column of its own is a metric, of which as many are shown as fit."""
        if self.quiet:
            return
        if not self.cells:
            self.cells = self._layout(row)
            self.print(Text(" ".join(f"{title:>{width}}" for title, width, _ in self.cells.values()), style="faint"))
        words = ("" if row.get(name) is None else write(row[name]) for name, (_, _, write) in self.cells.items())
        star = Text(" ★" if self.console.encoding.lower().startswith("utf") else " *", style="good") if row.get("best") else Text("")
        line = " ".join(f"{word:>{width}}" for word, (_, width, _) in zip(words, self.cells.values()))
        self.print(Text.assemble(line, star))

    def _layout(self, row: dict) -> dict:
        """Key -> title, width and writer. The first line is measured before training, so the columns of a step are kept for later ones."""
        cells = {name: column for name, column in COLUMNS.items() if name in row or name != "memory"}
        room = (self.console.width if self.console.is_terminal else 200) - sum(width + 1 for _, width, _ in cells.values()) - 2
        for name, value in row.items():
            width = max(8, len(name))
            if name not in NOT_METRICS and isinstance(value, (int, float)) and room > width:
                cells[name] = (name, width, figure)
                room -= width + 1
        return cells

    def close(self) -> None:
        """Take the bars away."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = None
        self.tasks.clear()
        self.started.clear()
        self.last_line = 0.0
