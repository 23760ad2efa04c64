"""`report`: write a run's report again, from its folder alone."""
from luthier.evaluation.report import write_report
from luthier.runs import folder as runs
from luthier.verbs.results import Answered


def report(run: str) -> Answered:
    """Render report.html and report.md; returns `{run, html, markdown}`."""
    found = runs.find(run)
    write_report(found.path)
    return Answered({"run": found.name, "html": str(found.path / "report.html"), "markdown": str(found.path / "report.md")})
