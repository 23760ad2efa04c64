"""The terminal: the answer goes to stdout, what happens on the way to stderr; nothing else in the package prints.

Colour and live bars appear only on a terminal that wants them; in a pipe every line is plain and whole. Text that comes from
data is shown with its control characters spelled out, so that a cell of a CSV cannot steer the terminal.
"""

import json
import math
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text
from rich.theme import Theme

from luthier.commands.progress import Progress
from luthier.errors import LuthierError
from luthier.runs.events import Event

THEME = Theme(
    {
        "good": "green",
        "bad": "bold red",
        "warn": "yellow",
        "code": "bold",
        "key": "cyan",
        "faint": "bright_black",
        "head": "bold",
        "next": "cyan",
        "learned": "bold green",
        "context": "default",
        "special": "magenta",
    }
)
WIDTH_OF_A_PIPE = 1000
"""Tables in a pipe are as wide as their cells need."""
HIDDEN = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)] if chr(code) not in "\n\t"}
HIDDEN |= {code: f"\\u{code:04x}" for code in [0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]}


def visible(text: Any) -> str:
    """Text with control characters and direction marks spelled out."""
    return str(text).translate(HIDDEN)


def in_one_line(text: Any, width: int = 60) -> str:
    """Text as one line of at most `width` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


class Screen:
    """Where one command prints."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False, debug: bool = False, no_color: bool = False):
        settings = {"theme": THEME, "highlight": False, "markup": False, "emoji": False, "no_color": True if no_color else None}
        self.out = Console(file=sys.stdout, **settings)
        if not self.out.is_terminal:
            self.out.width = WIDTH_OF_A_PIPE
        self.err = Console(file=sys.stderr, **settings)
        self.as_json, self.quiet, self.verbose, self.debug = as_json, quiet, verbose or debug, debug
        self.progress = Progress(self.err, quiet=quiet)

    # ---- on the way ---------------------------------------------------------------------------------------------------
    def say(self, event: Event) -> None:
        """Show an event; the shape of each kind's data stands in docs/commands.md."""
        if event.kind == "progress":
            self.progress.update(event.data, visible(event.message))
        elif event.kind == "step":
            self.progress.step(event.data)
        elif self.quiet:
            return
        elif event.kind == "phase":
            self.progress.close()
            self.progress.print(Text(visible(event.message), style="head"))
        elif event.kind == "note" and {"key", "value", "reason"} <= event.data.keys():
            key, value, reason = (in_one_line(event.data[name], 120) for name in ("key", "value", "reason"))
            self.progress.print(Text.assemble((f"{key:<31} ", "key"), f"{value:<9} ", (reason, "faint")))
        elif event.kind == "note":
            if self.verbose or not event.data.get("detail"):
                self.progress.print(Text(visible(event.message), style="faint" if event.data.get("detail") else ""))
        elif event.kind == "warning":
            code = f"[{event.data['code']}]" if event.data.get("code") else ""
            self.progress.print(Text.assemble(("warning", "warn"), (code, "code"), f": {visible(event.message)}"))
        elif event.kind == "done":
            self.progress.close()
            self.progress.print(Text.assemble((f"{self.tick} ", "good"), visible(event.message)))

    # ---- the answer ---------------------------------------------------------------------------------------------------
    def finish(self, result: dict, draw: Callable[["Screen", dict], None]) -> None:
        """Give the answer: one JSON object, or its drawing."""
        self.progress.close()
        if self.as_json:
            self.json(result)
        else:
            draw(self, result)

    def json(self, value: dict) -> None:
        """One JSON object on stdout; NaN and infinity, which JSON lacks, become null."""
        sys.stdout.write(json.dumps(finite(value), ensure_ascii=False, allow_nan=False, default=str) + "\n")
        sys.stdout.flush()

    def line(self, *parts: Any, style: str = "") -> None:
        """One line of the answer; a part is text or (text, style). In a pipe it is never broken."""
        text = Text(style=style)
        for part in parts:
            words, part_style = part if isinstance(part, tuple) else (part, None)
            text.append(visible(words), part_style)
        self.draw(text)

    def draw(self, renderable: RenderableType) -> None:
        """A part of the answer; wrapped to the width of a terminal, left whole in a pipe."""
        if self.out.is_terminal:
            self.out.print(renderable)
            return
        with self.out.capture() as capture:
            self.out.print(renderable, soft_wrap=isinstance(renderable, Text))
        self.out.file.write("".join(line.rstrip() + "\n" for line in capture.get().splitlines()))

    def next(self, *commands: str) -> None:
        """What to type now."""
        if not self.quiet:
            self.line(("next: ", "faint"), *[part for command in commands for part in ((command, "next"), ("  ", None))][:-1])

    @property
    def tick(self) -> str:
        return "✔" if self.draws_unicode else "ok"

    @property
    def draws_unicode(self) -> bool:
        return self.out.encoding.lower().startswith("utf")

    # ---- what went wrong -----------------------------------------------------------------------------------------------
    def error(self, error: LuthierError) -> None:
        """An error with its place and its hint; on stdout as JSON where JSON was asked for."""
        from luthier.commands.findings import error_lines

        self.progress.close()
        findings = vars(error).get("findings")
        if self.as_json:
            self.json({"error": error.to_dict(), **({"findings": findings} if findings else {})})
            return
        for line in error_lines(error.to_dict(), findings or []):
            self.err.print(line, soft_wrap=not self.err.is_terminal)


def finite(value: Any) -> Any:
    """The value with every non-finite number as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value
