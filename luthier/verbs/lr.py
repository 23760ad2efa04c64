"""`lr`: a learning-rate range test (Smith 2017, arXiv:1506.01186): the rate rises from step to step, and the loss says where it learns and where it breaks.

What it suggests: the rate at which the smoothed loss falls steepest, and a third of the rate at which it rises again as the upper end.
Nothing is kept but the picture and the figures.
"""
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from luthier.errors import WorkFailed
from luthier.evaluation.report.range_picture import draw
from luthier.files import write_file, write_json
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.training.loop import train
from luthier.training.optimizer import adamw
from luthier.training.schedule import Exponential
from luthier.verbs.results import Answered
from luthier.verbs.stages import multiples, open_recipe
from luthier.verbs.stopping import Stopping
from luthier.verbs.work import Work

BROKEN = 4.0
"""Times the best smoothed loss at which going on teaches nothing."""


def lr(target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, low: float = 1e-6, high: float = 1.0, steps: int = 80, say: Say = silent) -> Answered:
    """Returns `{run, folder, suggestion, upper, picture, points: [{rate, loss, smooth}], sentence}`; the loss is that of each step, in nats."""
    recipe, _ = open_recipe(target, overrides, say)
    run = runs.create("", stem="lr")
    with run.lock(), Stopping() as stopping:
        work = Work(run, recipe, say, stopping)
        run.update(status="running")
        work.prepare()
        points = ranged(work, low, high, steps, say)
        run.update(status="done")
    found = {"run": run.name, "folder": str(run.path), **reading(points), "picture": str(run.path / "range.svg"), "points": points}
    write_json(run.path / "range.json", found)
    write_file(run.path / "range.svg", draw(points, found["suggestion"], found["upper"]))
    return Answered(found)


def ranged(work: Work, low: float, high: float, steps: int, say: Say) -> list[dict]:
    """One step at each rate, a straight line on a logarithmic scale; ends early once the loss has broken."""
    settings = work.recipe.training
    work.apply()
    optimizer = adamw(work.parameters, weight_decay=settings.weight_decay, beta1=settings.beta1, beta2=settings.beta2, epsilon=settings.epsilon, multiples=multiples(work.language_model, work.parameters, settings))
    say(Event("phase", f"{steps} steps, the rate rising from {low:g} to {high:g}", {"name": "range"}))
    losses: list[float] = []
    rates: list[float] = []
    for step in train(work.network, work.objective, optimizer, Exponential(low, high, steps), steps=steps, seed=work.recipe.seed, clip_norm=settings.clip):
        losses.append(step.loss)
        rates.append(step.learning_rate)
        say(Event("progress", data={"task": "range", "done": step.number, "total": steps, "unit": "steps", "loss": step.loss}))
        smooth = smoothed(losses)
        if not math.isfinite(step.loss) or (len(smooth) > 10 and smooth[-1] > BROKEN * min(smooth)):
            break
    return [{"rate": rate, "loss": loss, "smooth": value} for rate, loss, value in zip(rates, losses, smoothed(losses)) if math.isfinite(loss)]


def smoothed(values: Sequence[float], memory: float = 0.8) -> list[float]:
    """Exponential moving average, corrected for its start."""
    average, found = 0.0, []
    for count, value in enumerate(values, 1):
        average = memory * average + (1 - memory) * value
        found.append(average / (1 - memory**count))
    return found


def reading(points: Sequence[Mapping]) -> dict:
    """`{suggestion, upper, sentence}` from the curve."""
    if len(points) < 8:
        raise WorkFailed("the loss broke before there was a curve to read", code="E152", hint="start lower: --low 1e-8")
    rates, losses = np.log([point["rate"] for point in points]), np.array([point["smooth"] for point in points])
    best = int(losses.argmin())
    slope = np.gradient(losses, rates)[: best + 1] if best >= 3 else np.gradient(losses, rates)
    suggestion = float(np.exp(rates[int(slope.argmin())]))
    upper = float(np.exp(rates[best])) / 3
    if losses[0] - losses[best] < 0.01 * abs(losses[0]):
        return {"suggestion": None, "upper": None, "sentence": "no rate in this range teaches anything in so few steps: raise --high or --steps"}
    sentence = f"the loss falls steepest at a rate of {suggestion:.1e} and is lowest at {np.exp(rates[best]):.1e}: try training.learning_rate={suggestion:.1e}, at most {max(upper, suggestion):.1e}"
    return {"suggestion": suggestion, "upper": max(upper, suggestion), "sentence": sentence}
