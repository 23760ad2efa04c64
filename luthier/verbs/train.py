"""`train`: a run is found or made, locked and written down, and its work done; however that ends, the folder says so and has a report."""
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from luthier import settings
from luthier.errors import CheckpointError, LuthierError, RecipeError, Stopped
from luthier.evaluation.report import write_report
from luthier.files import digest, read_json, write_file
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.runs.folder import Run
from luthier.runs.trackers import Following, refuse_unready
from luthier.runs.trackers.settings import TrackingSettings
from luthier.verbs.results import RunResult
from luthier.verbs.stages import open_recipe
from luthier.verbs.stopping import Stopping
from luthier.verbs.work import Work


def train(
    target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, resume: str | bool | None = None, allow_change: Sequence[str] = (), name: str = "", stem: str = "", say: Say = silent
) -> RunResult:
    """Tune a base as a recipe says and judge it on rows that nothing else has seen.

    `target`: a recipe, data, or None for ./luthier.yaml. `resume`: a run's name, or True for the newest unfinished run of this recipe.
    `allow_change`: fields that may differ from the run that is resumed.
    Raises LuthierError of every kind; what was done until then stays in the run's folder, with a report.
    """
    began = time.perf_counter()
    if allow_change and not resume:
        raise RecipeError("--allow-change is for a run that is resumed", code="R176", hint="luthier train --resume NAME --allow-change FIELD")
    if isinstance(resume, str):
        run = runs.find(resume)
        target = target or run.path / "luthier.yaml"
    recipe, _ = open_recipe(target, overrides, say)
    refuse_unready(recipe.tracking.to)
    recipe_hash = digest(settings.to_yaml(recipe))
    if resume is True:
        run = unfinished(recipe_hash)
    elif not resume:
        run = runs.create(name, stem=stem)
        run.update(recipe_hash=recipe_hash, command=" ".join(["luthier", *sys.argv[1:]]))
        write_file(run.path / "luthier.yaml", settings.to_yaml(recipe))
    with run.lock(), Stopping() as stopping, written_down(run, say) as tell, tracked(run, recipe.tracking, tell) as tell:
        runs.tidy(run)
        verdict = Work(run, recipe, tell, stopping, allowed=allow_change).go(resuming=bool(resume))
    return RunResult(run.name, str(run.path), "done", time.perf_counter() - began, verdict)


def unfinished(recipe_hash: str) -> Run:
    """The newest unfinished run of a recipe; CheckpointError lists what there is."""
    every = list(runs.everything())
    for run in every:
        known = run.facts()
        if known.get("recipe_hash") == recipe_hash and known["status"] != "done":
            return run
    listed = ", ".join(f"{run.name} ({run.status()})" for run in every[:8]) or "none"
    raise CheckpointError(f"no unfinished run of this recipe in {runs.runs_root()}; there are: {listed}", code="C107", hint="luthier train --resume NAME continues a run by name; luthier train starts a new one")


@contextlib.contextmanager
def written_down(run: Run, say: Say) -> Iterator[Say]:
    """Everything said goes into the run's log too; however the work ends, the folder says so and has a report."""

    def tell(event: Event) -> None:
        run.event(event)
        if event.kind == "phase":
            run.update(phase=event.data.get("name", event.message))
        say(event)

    began = time.perf_counter()
    run.update(status="running", pid=None)
    try:
        yield tell
    except BaseException as error:
        status = "stopped" if isinstance(error, Stopped | KeyboardInterrupt) else "failed"
        told = error.to_dict() if isinstance(error, LuthierError) else {"code": "E100", "message": f"{type(error).__name__}: {error}"}
        # The report of a failure must never hide the failure itself: a full disk refuses these files as well.
        with contextlib.suppress(LuthierError, OSError):
            run.update(status=status, error=told, seconds=round(time.perf_counter() - began, 2))
            write_report(run.path)
        raise


@contextlib.contextmanager
def tracked(run: Run, named: TrackingSettings, say: Say) -> Iterator[Say]:
    """What is said goes on to the trackers that the recipe names; without any, nothing changes."""
    if not named.to:
        yield say
        return
    following = Following(run, named, say, lambda: settings.flatten(yaml.safe_load((run.path / "config.resolved.yaml").read_text(encoding="utf-8"))))
    status = "failed"
    try:
        yield following
        status = "done"
    except (Stopped, KeyboardInterrupt):
        status = "stopped"
        raise
    finally:
        verdict = run.path / "verdict.json"
        following.close(status, read_json(verdict) if status == "done" and verdict.exists() else None)
