"""Trackers: TensorBoard, MLflow, Weights & Biases, Trackio. Off unless a recipe names them in `tracking.to`; one file each."""
import difflib
from collections.abc import Callable, Mapping, Sequence

from luthier.errors import RecipeError
from luthier.runs.events import Event, Say
from luthier.runs.folder import Run
from luthier.runs.trackers import mlflow, tensorboard, trackio, wandb
from luthier.runs.trackers.settings import TrackingSettings
from luthier.runs.trackers.tracker import Kind, Tracker

TRACKERS = {
    "tensorboard": Kind("tensorboardX", 'pip install "luthier[tensorboard]"', tensorboard.start, "in {folder}/tensorboard; tensorboard --logdir {folder} shows it"),
    "mlflow": Kind("mlflow", "pip install mlflow", mlflow.start, "in MLflow at {address}"),
    "wandb": Kind("wandb", "pip install wandb, then wandb login", wandb.start, "sent to Weights & Biases, project {project}"),
    "trackio": Kind("trackio", "pip install trackio", trackio.start, "in Trackio, project {project}"),
}
FIGURES = ("loss", "learning_rate", "gradient_norm", "tokens_per_second")
"""Of a step's row, what trackers are told."""


def refuse_unready(names: Sequence[str]) -> None:
    """RecipeError for a name that is no tracker, and for a package that is not installed: before anything is trained."""
    for name in names:
        if name not in TRACKERS:
            near = difflib.get_close_matches(name, TRACKERS, 1)
            raise RecipeError(f"there is no tracker {name!r}", code="R240", field="tracking.to", hint=f"did you mean {near[0]}?" if near else f"choose from {', '.join(TRACKERS)}")
        TRACKERS[name].ready(name)


class Following:
    """Listens to what a run says and tells its rows to the trackers that were named.

    A tracker that fails is told once and left alone: a page of curves that cannot be reached is no reason to lose a training.
    """

    def __init__(self, run: Run, settings: TrackingSettings, say: Say, recipe: Callable[[], Mapping[str, str]]):
        self.run, self.settings, self.say, self.recipe = run, settings, say, recipe
        self.waiting = list(dict.fromkeys(settings.to))
        self.open: dict[str, Tracker] = {}
        self.step = 0

    def __call__(self, event: Event) -> None:
        self.say(event)
        if event.kind == "row" and event.data["folder"] == str(self.run.path):
            self.tell(event.data["row"]["step"], figures_of(event.data["row"]))

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Figures to everyone; who is not open yet is opened first."""
        self.step = max(self.step, step)
        for name in self.waiting:
            self.guarded(name, lambda name=name: self.begin(name))
        self.waiting = []
        for name, tracker in list(self.open.items()):
            self.guarded(name, lambda tracker=tracker: tracker.figures(step, values))

    def begin(self, name: str) -> None:
        kind = TRACKERS[name]
        self.open[name] = kind.start(self.run, self.settings, self.recipe())
        place = kind.place.format(folder=self.run.path, project=self.settings.project, address=self.settings.address or "the folder of all runs")
        self.say(Event("note", f"{name}: the figures of this run are {place}", {"tracker": name}))

    def close(self, status: str, verdict: Mapping | None) -> None:
        """The contestants' figures, where it came to them, and the end."""
        lines = (verdict or {}).get("contestants", [])
        if lines and (self.open or self.waiting):
            self.tell(self.step, {f"test/{line['name']}": float(line["value"]) for line in lines})
        for name, tracker in list(self.open.items()):
            self.guarded(name, lambda tracker=tracker: tracker.close(status))
        self.open = {}

    def guarded(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever another program throws, the training goes on
            self.open.pop(name, None)
            self.say(Event("warning", f"tracker {name} is told no more: {type(error).__name__}: {error}", {"code": "T240", "step": self.step}))


def figures_of(row: Mapping) -> dict[str, float]:
    """The numbers of a row of metrics by name; what was not finite stands there as a word and is told as the number that it is."""
    kind = row["kind"]
    values = {name: row[name] for name in FIGURES if row.get(name) is not None}
    values |= {**row.get("metrics", {}), **row.get("figures", {})}
    return {f"{kind}/{name}": float(value) for name, value in values.items() if value is not None}
