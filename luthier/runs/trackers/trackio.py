"""Trackio: a run of a project in its own folder on this machine, or in a Space where `tracking.address` names one. Read it with `trackio show`."""
from collections.abc import Mapping

from luthier.runs.folder import Run
from luthier.runs.trackers.settings import TrackingSettings


class Kept:
    """A run there, continued under its name."""

    def __init__(self, run: Run, settings: TrackingSettings, recipe: Mapping[str, str]):
        import trackio

        self.run = trackio.init(settings.project, name=run.name, space_id=settings.address, config=dict(recipe), resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self, status: str) -> None:
        self.run.finish()


def start(run: Run, settings: TrackingSettings, recipe: Mapping[str, str]) -> Kept:
    return Kept(run, settings, recipe)
