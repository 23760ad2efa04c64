"""`luthier advise`: pilots and a forecast before the full run."""

from typing import Annotated

import typer

from luthier.commands.check import WORDS
from luthier.commands.entry import look_early, split_words
from luthier.commands.screen import Screen, visible

EXAMPLES = """\
$ luthier advise tickets.csv
$ luthier advise --minutes 30 method=full"""


def run(
    screen: Screen,
    words: WORDS = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Time for the pilots.")] = 10.0,
) -> None:
    """Ask before you train: small pilots, a forecast, and what to use.

    Everyone who needs no training answers validation rows; pilots on parts of the data say what all of it would bring. Test rows stay unseen.
    """
    target, overrides = split_words(words)
    look_early(target, overrides)
    from luthier.verbs.advise import advise

    screen.finish(advise(target, overrides, minutes=minutes, say=screen.say).to_dict(), draw)


def draw(screen: Screen, result: dict) -> None:
    screen.line((visible(result["sentence"]), "head"))
    for name, value in sorted(result["untrained"].items(), key=lambda item: -item[1]):
        screen.line((f"{name:>20}  ", "faint"), f"{value:.3f}")
    for pilot in result["pilots"]:
        screen.line((f"{pilot['share']:>19.0%}  ", "faint"), f"{pilot['value']:.3f}", (f"  {pilot['low']:.3f} to {pilot['high']:.3f} · {pilot['rows']:,} rows · {pilot['seconds']:.0f} s", "faint"))
    screen.line(("report ", "faint"), f"{result['folder']}/report.html")
    screen.next("luthier train")
