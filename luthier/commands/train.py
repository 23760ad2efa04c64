"""`luthier train`: tune, compare, and say whether it helped."""

import os
from typing import Annotated

import typer

from luthier.commands.check import ON_BAD_ROW, WORDS, with_bad_rows
from luthier.commands.entry import look_early, split_words
from luthier.commands.screen import Screen
from luthier.commands.verdict import draw_outcome

EXAMPLES = """\
$ luthier train
$ luthier train training.epochs=2 method.rank=16
$ luthier train --resume        continues the newest unfinished run
$ luthier train --resume quiet-otter
$ luthier train --search --trials 20"""


def run(
    screen: Screen,
    words: WORDS = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped: the one named, else the newest unfinished.")] = False,
    allow_change: Annotated[list[str] | None, typer.Option("--allow-change", metavar="FIELD", help="With --resume: a field that may differ from now on; repeatable.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What to call the run.")] = None,
    on_bad_row: ON_BAD_ROW = None,
    search: Annotated[bool, typer.Option("--search", help="Find learning rate, rank, epochs and more on validation rows first; then train the best with several seeds.")] = False,
    trials: Annotated[int, typer.Option(metavar="N", min=2, help="Trials of the search.")] = 16,
) -> int:
    """Tune, compare, and say whether it helped.

    The base and the simple methods are measured first; the verdict stands on rows that nothing else has seen.
    Ctrl-C saves before it ends; `--resume` goes on with the same bits.
    """
    target, overrides = split_words(words)
    overrides = with_bad_rows(overrides, on_bad_row)
    named = target if resume and target and not _is_recipe(target) else None
    if not named:
        look_early(target, overrides)
    if search:
        from luthier.verbs.search import search as searching

        result = searching(target, overrides, trials=trials, name=name or "", say=screen.say).to_dict()
        screen.finish(result, draw)
        return 0 if result["status"] == "done" else 1
    from luthier.verbs.train import train

    result = train(None if named else target, overrides, resume=(named or True) if resume else None, allow_change=allow_change or [], name=name or "", say=screen.say).to_dict()
    screen.finish(result, draw)
    return 0 if result["status"] == "done" else 1


def _is_recipe(word: str) -> bool:
    return os.path.isfile(word) or word.endswith((".yaml", ".yml"))


def draw(screen: Screen, result: dict) -> None:
    draw_outcome(screen, result)
    screen.next(f"luthier examples {result['run']} --worst 5", f"luthier predict {result['run']} TEXT")
