"""`luthier chat`: talk with a tuned model."""

import sys
from typing import Annotated

import typer

from luthier.commands.predict import RUN
from luthier.commands.screen import Screen, visible
from luthier.errors import RecipeError

EXAMPLES = """\
$ luthier chat last             /new starts over, /quit or Ctrl-D ends
$ luthier chat last --ask "Do you repair violins?\""""


def run(
    screen: Screen,
    run: RUN = "last",
    ask: Annotated[str | None, typer.Option(metavar="TEXT", help="Ask once, print the answer, and end.")] = None,
    temperature: Annotated[float, typer.Option(metavar="T", min=0, help="0 always takes the likeliest token.")] = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the sampling, where the temperature is above 0.")] = 0,
) -> None:
    """Talk with a tuned model."""
    if ask is None and (screen.as_json or not sys.stdin.isatty()):
        raise RecipeError("a talk needs a terminal", code="R142", hint='ask once: `luthier chat last --ask "hello"`')
    from luthier.verbs.chat import chat

    session = chat(run, temperature=temperature, seed=seed, say=screen.say)
    if ask is not None:
        screen.finish({"run": session.run_name, **session.ask(ask)}, lambda screen, answer: screen.line(answer["answer"]))
        return
    screen.line((f"{session.run_name} · /new starts over, /quit ends", "faint"))
    talk(screen, session)


def talk(screen: Screen, session) -> None:
    """Turn after turn until /quit or the end of input."""
    while True:
        try:
            words = input("> ").strip()
        except EOFError:
            return
        if words == "/quit":
            return
        if words == "/new":
            session.reset()
        elif words:
            session.ask(words, on_token=lambda piece: (sys.stdout.write(visible(piece)), sys.stdout.flush()))
            sys.stdout.write("\n")
