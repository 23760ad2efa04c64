"""Trainings below a run: the same recipe with other seeds, whose spread belongs into the interval, and from a random start, to see what the base was worth."""
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from luthier.errors import CheckpointError, DataError, DiskError, RecipeError
from luthier.evaluation.results import Result
from luthier.evaluation.seeds import mean_of
from luthier.methods import METHODS
from luthier.runs.events import Event
from luthier.training import checkpoint
from luthier.verbs.leading import asked_as_trained
from luthier.verbs.stages import respond_with

if TYPE_CHECKING:
    from luthier.verbs.work import Work


def scratch(work: "Work"):
    """Train the same architecture from a random start, in a folder of its own below this run, and return how it answers."""
    method, training = METHODS["full"](), work.recipe.training
    if work.recipe.method.name != method.name:
        training = dataclasses.replace(training, learning_rate=method.default_learning_rate(work.language_model.num_parameters)[0])
    child = work.child("scratch", scratch_seed=work.recipe.seed, method=method, training=training)
    return respond_with(child.task, child.language_model, child.renderer, work.say)


def over_seeds(work: "Work", first: Result) -> Result:
    """The tuned contestant over all the seeds that the recipe asks for: further trainings lie below this run, and their figures join the first one's."""
    every = [first]
    for seed in further_seeds(work):
        work.say(Event("note", f"once more with seed {seed}", {"seed": seed}))
        every.append(tuned_again(work.child(f"seeds/{seed}", seed=seed)))
    return joined(every)


def further_seeds(work: "Work") -> range:
    """The seeds beside the recipe's own."""
    return range(work.recipe.seed + 1, work.recipe.seed + work.recipe.evaluation.seeds)


def tuned_again(work: "Work") -> Result:
    """How a child's model answers the test rows."""
    return work.compare(["tuned"], tuned=asked_as_trained(respond_with(work.task, work.language_model, work.renderer, work.say), work.leading))["tuned"]


def measured_again(work: "Work", first: Result) -> list[Result]:
    """The tuned contestant of every seed that was trained, asked anew: `first` and the models below this run, none of which learns a step more."""
    every = [first]
    for seed in further_seeds(work):
        place = work.run.path / "seeds" / str(seed)
        try:
            if checkpoint.pointed(place, "best") is None:
                raise CheckpointError(f"there is no model in {place}", code="C108", file=str(place))
            (place / "evaluation" / "tuned.answers.jsonl").unlink(missing_ok=True)
            work.say(Event("note", f"the model of seed {seed}", {"seed": seed}))
            every.append(tuned_again(work.child(f"seeds/{seed}", seed=seed)))
        except (CheckpointError, DataError, DiskError, RecipeError) as error:
            work.say(Event("warning", f"the model of seed {seed} cannot be asked again and is left out: {error.message}", {"code": "T241", "step": 0}))
    return every


def joined(every: Sequence[Result]) -> Result:
    """One contestant over several seeds: the mean of each figure, and every seed's own for the spread."""
    first = every[0]
    if len(every) == 1:
        return first
    return dataclasses.replace(first, metrics={name: mean_of([one.metrics[name] for one in every]) for name in first.metrics}, seeds=[one.metrics for one in every])
