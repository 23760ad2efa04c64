"""The program `luthier`: its verbs, and what happens before one of them starts."""

import difflib
import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import luthier
from luthier.commands import (
    advise,
    chat,
    check,
    compare,
    config,
    data,
    demo,
    doctor,
    evaluate,
    examples,
    explain,
    export,
    importing,
    init,
    keys,
    label,
    lr,
    plan,
    predict,
    push,
    recipes,
    report,
    runs,
    serve,
    tables,
    train,
    verify,
)
from luthier.commands.entry import framed
from luthier.commands.help import Verb, Verbs
from luthier.commands.screen import Screen
from luthier.errors import RecipeError

FIRST = {"demo": demo, "init": init, "check": check, "plan": plan, "train": train, "predict": predict, "chat": chat, "eval": evaluate}
MORE = {
    "serve": serve, "export": export, "verify": verify, "push": push, "examples": examples, "compare": compare, "tables": tables, "advise": advise, "lr": lr, "label": label, "report": report,
    "doctor": doctor, "explain": explain,
}
SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(name="luthier", cls=Verbs, context_settings=SETTINGS, add_completion=False, no_args_is_help=False, invoke_without_command=True)


@app.callback()
def program(ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        sys.stdout.write(f"luthier {luthier.__version__}\n")
    elif ctx.invoked_subcommand is None:
        sys.stdout.write(ctx.get_help() + "\n")


def _add(to: typer.Typer, name: str, function, *, examples: str, panel: str = "") -> None:
    to.command(name, cls=Verb, epilog=examples, rich_help_panel=panel, context_settings=SETTINGS)(framed(function))


def _add_group(name: str, members: dict, *, help: str, examples: str) -> None:
    group = typer.Typer(cls=Verbs, help=help, epilog=examples, context_settings=SETTINGS, no_args_is_help=True)
    for member, (function, example) in members.items():
        _add(group, member, function, examples=example)
    app.add_typer(group, name=name, rich_help_panel="more")


for _name, _module in FIRST.items():
    _add(app, _name, _module.run, examples=_module.EXAMPLES, panel="verbs")
for _name, _module in MORE.items():
    _add(app, _name, _module.run, examples=_module.EXAMPLES, panel="more")
_add_group("runs", runs.MEMBERS, help=runs.HELP, examples=runs.EXAMPLES)
_add_group("import", importing.MEMBERS, help=importing.HELP, examples=importing.EXAMPLES)
_add_group("keys", keys.MEMBERS, help=keys.HELP, examples=keys.EXAMPLES)
_add_group("data", data.MEMBERS, help=data.HELP, examples=data.EXAMPLES)
_add_group("recipes", recipes.MEMBERS, help=recipes.HELP, examples=recipes.EXAMPLES)
_add_group("config", config.MEMBERS, help=config.HELP, examples=config.EXAMPLES)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character shows its number
    command = typer.main.get_command(app)
    try:
        code = command.main(words, prog_name="luthier", standalone_mode=False)
    except typer.TyperException as error:
        code = _usage_error(error, words, command)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code or 0)


def _usage_error(error: typer.TyperException, words: Sequence[str], command: typer.core.TyperGroup) -> int:
    """A mistyped verb or option, as an error like any other; the nearest name is offered."""
    screen = Screen(as_json="--json" in words, no_color="--no-color" in words)
    message = error.format_message().rstrip(".")
    verbs = command.commands
    first = next((word for word in words if not word.startswith("-")), "")
    if first and first not in verbs:
        near = difflib.get_close_matches(first, verbs, n=1)
        message = f"there is no verb `{first}`"
        hint = f"did you mean `luthier {near[0]}`?" if near else "`luthier --help` lists them"
    else:
        hint = f"`luthier {first} --help` shows what it takes".replace("  ", " ")
    wrong = RecipeError(message, code="R100", hint=hint)
    screen.error(wrong)
    return wrong.exit_code
