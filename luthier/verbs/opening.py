"""Open a finished run to ask its model: the base as the run used it, with what was learned put on it."""
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from luthier.data.dataset import DataSet
from luthier.data.records import Message
from luthier.errors import CheckpointError
from luthier.files import read_json, verify
from luthier.models.language_model import LanguageModel
from luthier.models.load import facts
from luthier.preparation.renderer import Renderer
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.runs.folder import Run
from luthier.tasks.task import Calibrating
from luthier.verbs.leading import Leading, leading
from luthier.verbs.materials import embedded, room_of
from luthier.verbs.recipe import Recipe
from luthier.verbs.stages import load_base, open_recipe, renderer_of, task_with


@dataclass
class Opened:
    """A run with its model in memory."""

    run: Run
    recipe: Recipe
    task: object
    """The task with its labels and lengths."""
    language_model: LanguageModel
    renderer: Renderer

    @functools.cached_property
    def leading(self) -> Leading | None:
        """The passages that this run's questions are led by; None where it was trained without."""
        retrieval, model = self.recipe.retrieval, self.language_model
        if not retrieval.in_training:
            return None
        train = DataSet(self.run.data_folder).records("train")
        embed = None if retrieval.by == "bm25" else lambda rows: embedded(model, self.renderer, rows)
        return leading(retrieval, self.task, self.renderer, model.context, train=train, embed=embed, folder=self.run.path / "retrieval" / "vectors", key=model.fingerprint, say=silent)

    def led(self, texts: Sequence[str]) -> list[str]:
        """New questions as this run was trained to see them."""
        if self.leading is None:
            return list(texts)
        room = room_of(self.task, self.renderer, self.language_model.context)
        return self.leading.texts(texts, lambda text: len(self.renderer.prompt([Message("user", text)])) <= room)


def resolved(run: Run) -> Recipe:
    """The complete recipe of a run."""
    path = run.path / "config.resolved.yaml"
    if not path.exists():
        raise CheckpointError(f"{run.path} has no resolved recipe: the run stopped before it was settled", code="C108", file=str(path), hint="luthier train --resume " + run.name)
    return open_recipe(run.path, (), silent)[0]


def labels_of(run: Run) -> list[str]:
    """The labels of a run's data, in the order of a class head's outputs."""
    return read_json(run.data_folder / "check.json")["labels"]


def summary_of(run: Run) -> dict:
    """The figures of a run's data."""
    return read_json(run.data_folder / "check.json")["summary"]


def task_of(run: Run, recipe: Recipe, max_new_tokens: int, *, tuned: bool = True):
    """A run's task with what its data settled; `tuned`, with the confidence that was fitted for its model."""
    task = task_with(recipe.lesson, labels_of(run), summary_of(run), max_new_tokens)
    return task.calibrated(run.calibration()) if tuned and isinstance(task, Calibrating) else task


def open_run(name: str, say: Say, *, tuned: bool = True) -> Opened:
    """A run's model, verified; `tuned` False leaves the base as it came. CheckpointError where the run has none, or its files changed."""
    run = runs.find(name)
    recipe = resolved(run)
    if tuned:
        if not run.model_folder.is_dir():
            raise CheckpointError(f"{run.name} has no model yet: its status is {run.status()}", code="C108", file=str(run.model_folder), hint=f"luthier train --resume {run.name}")
        kept = verify(run.model_folder)
    torch.set_num_threads(recipe.training.threads)
    base = facts(recipe.model)
    labels = labels_of(run)
    language_model = load_base(recipe, base, labels, recipe.training.precision, silent)
    if tuned and kept["base"] != language_model.fingerprint:
        raise CheckpointError(
            f"{run.name} was tuned on a base with fingerprint {kept['base'][:12]}, {recipe.model} now has {language_model.fingerprint[:12]}", code="C105",
            file=str(run.model_folder), hint="put the base back as it was, or train again",
        )
    renderer = renderer_of(language_model, recipe.lesson.head(base.kind), silent, recipe.data.when_long)
    if tuned:
        language_model.network = recipe.method.load(language_model, run.model_folder)
        language_model.network.eval()
    task = task_of(run, recipe, recipe.evaluation.max_new_tokens, tuned=tuned)
    say(Event("note", f"{run.name}: {recipe.task.name} on {recipe.model}" + (f", tuned by {recipe.method.name}" if tuned else ", not tuned")))
    return Opened(run, recipe, task, language_model, renderer)


