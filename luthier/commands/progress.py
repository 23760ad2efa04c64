"""Progress: a bar with rate and time left on a terminal, a plain line now and then in a pipe; and the table of steps."""

import time

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

SECONDS_BETWEEN_LINES = 15.0
"""In a pipe, a long task tells where it is this often."""

COLUMNS = {  # of the table of steps: title, width, key of the row, how it is written
    "step": (6, lambda row: f"{row['step']:,}"),
    "epoch": (6, lambda row: f"{row['epoch']:.2f}"),
    "train": (8, lambda row: figure(row.get("train_loss", row.get("loss")))),
    "valid": (8, lambda row: figure(row["validation_loss"])),
    "rate": (9, lambda row: f"{row['learning_rate']:.1e}".replace("e-0", "e-") if row["learning_rate"] else "0"),
    "tok/s": (8, lambda row: short(row["tokens_per_second"])),
    "mem": (8, lambda row: size(row["memory"])),
}


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


class _Rate(ProgressColumn):
    """Items a second and the time left."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        words = f"{short(rate)} {task.fields['unit']}/s" if rate else ""
        if task.time_remaining is not None and not task.finished:
            words += f" · {duration(task.time_remaining)} left"
        return Text(words, style="faint")


class Progress:
    """What is going on; everything goes to one console, above the bar while there is one."""

    def __init__(self, console: Console, *, quiet: bool = False):
        self.console, self.quiet = console, quiet
        self.bars: Bars | None = None
        self.tasks: dict[str, int] = {}
        self.started: dict[str, float] = {}
        self.last_line = 0.0
        self.titles: list[str] = []

    def print(self, text: Text) -> None:
        """A whole line, not broken in a pipe."""
        self.console.print(text, soft_wrap=not self.console.is_terminal)

    def update(self, data: dict) -> None:
        """`data` has task, done, total (None when unknown) and unit."""
        if self.quiet:
            return
        if self.console.is_terminal:
            self._bar(data)
        else:
            self._line(data)

    def _bar(self, data: dict) -> None:
        if self.bars is None:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[count]}", style="faint"), _Rate())
            self.bars = Bars(*columns, console=self.console, transient=True, refresh_per_second=4)
            self.bars.start()
        name, total = data["task"], data.get("total")
        count = f"{data['done']:,}" + (f"/{total:,}" if total else "")
        fields = {"unit": data.get("unit") or "", "count": count}
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(name, total=total, **fields)
        self.bars.update(self.tasks[name], completed=data["done"], total=total, **fields)
        if total and data["done"] >= total:
            self.bars.remove_task(self.tasks.pop(name))

    def _line(self, data: dict) -> None:
        now = time.monotonic()
        started = self.started.setdefault(data["task"], now)
        self.last_line = self.last_line or now
        if now - self.last_line < SECONDS_BETWEEN_LINES:
            return
        self.last_line = now
        done, total, unit = data["done"], data.get("total"), data.get("unit") or ""
        rate = done / max(now - started, 1e-9)
        left = f" · {duration((total - done) / rate)} left" if total and done else ""
        self.print(Text(f"{data['task']} {done:,}{f'/{total:,}' if total else ''} · {short(rate)} {unit}/s{left}"))

    def step(self, row: dict) -> None:
        """A row with a validation loss is a line of the table; every row moves the bar."""
        if row.get("steps"):
            self.update({"task": "training", "done": row["step"], "total": row["steps"], "unit": "steps"})
        if self.quiet or row.get("validation_loss") is None:
            return
        metrics = row.get("metrics") or {}
        cells = {title: (width, write(row)) for title, (width, write) in COLUMNS.items() if self._holds(title, row)}
        cells |= {name: (max(8, len(name) + 1), figure(value)) for name, value in metrics.items()}
        if list(cells) != self.titles:
            self.titles = list(cells)
            self.print(Text(" ".join(f"{title:>{width}}" for title, (width, _) in cells.items()), style="faint"))
        star = Text(" ★" if self.console.encoding.lower().startswith("utf") else " *", style="good") if row.get("best") else Text("")
        self.print(Text.assemble(" ".join(f"{text:>{width}}" for width, text in cells.values()), star))

    @staticmethod
    def _holds(title: str, row: dict) -> bool:
        needs = {"epoch": "epoch", "rate": "learning_rate", "tok/s": "tokens_per_second", "mem": "memory"}
        return row.get(needs.get(title, "step")) is not None

    def close(self) -> None:
        """Take the bars away."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = None
        self.tasks.clear()
        self.started.clear()
        self.last_line = 0.0
