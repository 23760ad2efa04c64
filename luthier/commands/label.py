"""`luthier label`: two answers of a model, and which one you like better."""

import sys
from typing import Annotated

import typer

from luthier.commands.predict import RUN
from luthier.commands.screen import Screen, visible
from luthier.errors import RecipeError

EXAMPLES = """\
$ luthier label last            1 or 2, = equal, s skip, q stop
$ luthier label last --output mine.jsonl"""


def run(
    screen: Screen,
    run: RUN = "last",
    output: Annotated[str, typer.Option(metavar="FILE", help="JSONL file that the pairs are appended to; preferences.jsonl in the run's folder.")] = "",
    number: Annotated[int, typer.Option("--number", "-n", metavar="N", min=1, help="Stop after so many prompts.")] = 50,
    temperature: Annotated[float, typer.Option(metavar="T", help="Of sampling; higher makes the two answers differ more.")] = 0.8,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the sampling.")] = 0,
) -> None:
    """Compare two answers and keep your choice.

    Each choice becomes a pair that `objective: dpo` learns from: luthier train FILE objective=dpo.
    """
    from luthier.verbs.label import label

    session = label(run, output=output, temperature=temperature, seed=seed, say=screen.say)
    for shown in session.ask(number):
        show(screen, shown)
        choice = chosen()
        session.record(shown, choice)
        if choice == "q":
            break
    screen.finish(session.to_dict(), draw)


def show(screen: Screen, shown) -> None:
    """The talk, then both answers; on stderr where stdout is kept for JSON."""
    write = sys.stderr.write if screen.as_json else sys.stdout.write
    write(f"\n[{shown.number}]\n")
    for message in shown.messages:
        write(f"{message['role']}: {visible(message['content'])}\n")
    for place, answer in enumerate(shown.answers, 1):
        write(f"\n  {place}  {visible(answer)}\n")


def chosen() -> str:
    """One of the choices; the end of input stops."""
    from luthier.verbs.label import CHOICES

    while True:
        sys.stderr.write("better [1 2 = s q]? ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return "q"
        word = line.strip().lower()
        if word in CHOICES:
            return word
        if not sys.stdin.isatty():
            raise RecipeError(f"{word!r} is no choice", code="R142", hint=f"one of: {', '.join(f'{key} ({words})' for key, words in CHOICES.items())}")


def draw(screen: Screen, result: dict) -> None:
    screen.line(f"{result['written']:,} pairs written to {result['output']}, {result['equal']:,} equal, {result['skipped']:,} skipped")
    if result["written"]:
        screen.line((f"next: luthier train {result['output']} objective=dpo", "faint"))
