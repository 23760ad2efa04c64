"""`luthier report`: write a run's report again, from its folder alone."""

from luthier.commands.predict import RUN
from luthier.commands.screen import Screen

EXAMPLES = "$ luthier report last"


def run(screen: Screen, run: RUN = "last") -> None:
    """Write a run's report again, from its folder.

    report.html is one file that works offline; report.md has the same words.
    """
    from luthier.verbs.report import report

    screen.finish(report(run).to_dict(), draw)


def draw(screen: Screen, result: dict) -> None:
    screen.line((f"{screen.tick} ", "good"), (result["html"], "key"), " · ", (result["markdown"], "key"))
