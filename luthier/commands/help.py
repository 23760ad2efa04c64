"""Help that opens with an example: for the whole program, and for one verb."""

import typer
import typer.core
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from luthier.commands.entry import COMMON
from luthier.commands.screen import THEME

OPENING = """\
$ luthier init tickets.csv      guesses task and columns, writes a recipe
$ luthier check                 reads every row
$ luthier plan                  says what it will take
$ luthier train                 tunes, compares, and says whether it helped"""


class Verb(typer.core.TyperCommand):
    """One verb; its examples stand in `epilog`."""

    def format_help(self, ctx, formatter) -> None:
        arguments = [parameter for parameter in self.params if isinstance(parameter, typer.core.TyperArgument)]
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, typer.core.TyperOption) and not parameter.hidden]
        own = [option for option in options if option.name not in COMMON and option.name != "help"]
        shared = [option for option in options if option not in own]
        metavars = " ".join(argument.metavar or argument.name.upper() for argument in arguments)
        parts = [*_example_lines(self.epilog or ""), Text(""), Text(self.help or ""), Text("")]
        usage = " ".join(filter(None, [ctx.command_path, metavars, "[options]"]))
        parts += [Text.assemble(("usage: ", "faint"), usage), Text("")]
        if arguments:
            parts += [_rows([(argument.metavar or argument.name, argument.help or "") for argument in arguments]), Text("")]
        if own:
            parts += [_rows([_option(option, ctx) for option in own]), Text("")]
        parts += [Text("every verb", style="faint"), _rows([_option(option, ctx) for option in shared])]
        formatter.write(_drawn(Group(*parts)))


class Verbs(typer.core.TyperGroup):
    """The whole program: the first eight verbs, then the others."""

    def format_help(self, ctx, formatter) -> None:
        if ctx.parent is None:
            parts = [*_example_lines(OPENING), Text("")]
        else:
            parts = [*_example_lines(self.epilog or ""), Text(""), Text(self.help or ""), Text("")]
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            panels.setdefault(command.rich_help_panel or "", []).append((name, (command.help or "").partition("\n")[0]))
        for title, rows in panels.items():
            parts += [Text(title, style="faint")] if title else []
            parts += [_rows(rows), Text("")]
        parts.append(Text.assemble(("luthier VERB --help", "next"), " shows a verb's own page; exit codes stand in docs/errors.md"))
        formatter.write(_drawn(Group(*parts)))


def _example_lines(text: str) -> list[Text]:
    """Lines such as `$ luthier check   reads every row`: the command stands out, its explanation does not."""
    lines = []
    for line in text.splitlines():
        command, gap, explanation = line.partition("   ")
        lines.append(Text.assemble((command, "next"), gap, (explanation, "faint")))
    return lines


def _option(option: typer.core.TyperOption, ctx) -> tuple[str, str]:
    names = ", ".join(sorted(option.opts, key=lambda name: (name.startswith("--"), name)))
    takes = "" if option.is_flag or option.count else f" {option.metavar or option.name.upper()}"
    shown = option.show_default and option.default not in (None, False, (), [], "")
    return names + takes, (option.help or "") + (f" Default: {option.default}." if shown else "")


def _rows(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="key", no_wrap=True, min_width=14)
    table.add_column()
    for name, words in rows:
        table.add_row(Text("  " + name), Text(words))
    return table


def _drawn(renderable) -> str:
    console = Console(theme=THEME, highlight=False)
    console.width = min(console.width, 100)
    with console.capture() as capture:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
