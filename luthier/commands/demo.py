"""`luthier demo`: the whole journey on the shipped samples."""

from typing import Annotated

import typer

from luthier.commands.screen import Screen
from luthier.commands.verdict import draw_outcome

EXAMPLES = "$ luthier demo                  data, training, verdict and one answer"


def run(
    screen: Screen,
    seed: Annotated[int, typer.Option(help="Where all chance comes from.")] = 17,
    shuffle_labels: Annotated[bool, typer.Option("--shuffle-labels", help="Tear questions and answers apart first: nothing must be learned.")] = False,
) -> None:
    """Run the whole journey on what ships, offline.

    Samples are made, checked and split, the small base is tuned on them, and the verdict says whether it helped.
    """
    from luthier.verbs.demo import demo

    result = demo(seed=seed, shuffle_labels=shuffle_labels, say=screen.say).to_dict()
    screen.finish(result, draw)


def draw(screen: Screen, result: dict) -> None:
    draw_outcome(screen, result)
    screen.line(("now yours: ", "faint"), ("luthier init FILE", "next"))
