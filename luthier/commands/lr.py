"""`luthier lr`: a learning-rate range test."""

from typing import Annotated

import typer

from luthier.commands.check import WORDS
from luthier.commands.entry import look_early, split_words
from luthier.commands.screen import Screen, visible

EXAMPLES = """\
$ luthier lr
$ luthier lr method=full --low 1e-7 --high 0.1"""


def run(
    screen: Screen,
    words: WORDS = None,
    low: Annotated[float, typer.Option(min=1e-12, max=1, help="The first rate.")] = 1e-6,
    high: Annotated[float, typer.Option(min=1e-10, max=100, help="The last rate.")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, max=5000, help="Steps from the first to the last.")] = 80,
) -> None:
    """Find a learning rate: raise it step by step and watch the loss.

    Nothing is kept but the figures and a picture.
    """
    target, overrides = split_words(words)
    look_early(target, overrides)
    from luthier.verbs.lr import lr

    screen.finish(lr(target, overrides, low=low, high=high, steps=steps, say=screen.say).to_dict(), draw)


def draw(screen: Screen, result: dict) -> None:
    screen.line((visible(result["sentence"]), "head"))
    screen.line("picture ", (result["picture"], "key"))
