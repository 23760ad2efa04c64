"""What a tracker is: somebody else's page of curves, told a run's recipe and figures as they come. Rows, texts and weights never go there."""
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from luthier.errors import RecipeError
from luthier.runs.folder import Run
from luthier.runs.trackers.settings import TrackingSettings


class Tracker(Protocol):
    """One place that a run is told to."""

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of one optimizer step, by name; `train/loss`, `validation/macro_f1`, `test/tuned`."""

    def close(self, status: str) -> None:
        """No more comes; status is that of the run: done, stopped or failed."""


@dataclass(frozen=True)
class Kind:
    """How a tracker comes to be."""

    package: str
    """What is imported."""
    install: str
    """The line that installs it."""
    start: Callable[[Run, TrackingSettings, Mapping[str, str]], Tracker]
    """Takes the run, the settings and the resolved recipe as flat words; called at the first figure."""
    place: str
    """Where the figures then are, for the sentence that says so."""

    def ready(self, name: str) -> None:
        """RecipeError where its package is not installed."""
        if importlib.util.find_spec(self.package) is None:
            raise RecipeError(f"tracker {name} needs the package {self.package}, which is not installed", code="R240", field="tracking.to", hint=self.install)
