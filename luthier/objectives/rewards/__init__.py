"""Where rewards come from, one file each: the task's own score, a reward model's run, a pattern, a grader, a Python function.

A source is written as `kind:rest` in a recipe. Every source is a function from the task, prompts and answers to one figure each, None where it has none
to give.
"""
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from luthier.data.records import Prompt
from luthier.errors import RecipeError
from luthier.objectives.rewards import function, grader, pattern, run, task
from luthier.objectives.rewards.patience import within

Source = Callable[[object, Sequence[Prompt], Sequence[str]], list[float | None]]
SOURCES = {"task": task, "run": run, "regex": pattern, "grader": grader, "python": function}
"""Each has `make(rest, reward) -> Source`, which may be slow, `check(rest, reward)`, which is quick and raises what can be known at once, and `BOUNDED`: whether
its time is bounded here."""


@dataclass
class Reward:
    """The weighted sum of several sources; an answer that one of them cannot reward has no reward."""

    specs: list[str]
    """As the recipe names them."""
    weights: list[float] | None = None
    """None: 1 each."""
    confirm: str = ""
    """Beginning of the hash of a Python reward's file."""
    seconds: float = 60.0
    """Longest time of one call of a Python reward, a pattern or a grader."""
    sources: list[Source] = field(default_factory=list)
    """Made at the first call."""

    def check(self) -> "Reward":
        """RecipeError R191 for no reward, an unknown kind, weights that do not fit; and what each source knows at once."""
        if not self.specs:
            raise RecipeError("objective.rewards names no reward", code="R191", field="objective.rewards", hint="for example objective.rewards=[task:rouge_l], [run:NAME], [regex:PATTERN], [grader:FILE.json], [python:FILE.py:FUNCTION]")
        if self.weights is not None and len(self.weights) != len(self.specs):
            raise RecipeError(f"objective.weights has {len(self.weights)} entries for {len(self.specs)} rewards", code="R191", field="objective.weights", hint="one weight for each reward")
        for spec in self.specs:
            kind, _, rest = spec.partition(":")
            if kind not in SOURCES or not rest:
                raise RecipeError(f"objective.rewards names `{spec}`, which is no reward", code="R191", field="objective.rewards", hint=f"write one of: {', '.join(f'{name}:...' for name in SOURCES)}")
            SOURCES[kind].check(rest, self)
        return self

    def __call__(self, task, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float | None]:
        if not self.sources:
            self.sources = [SOURCES[kind].make(rest, self) for kind, _, rest in (spec.partition(":") for spec in self.specs)]
        found = []
        for spec, source in zip(self.specs, self.sources, strict=True):
            bounded = within(self.seconds, spec) if SOURCES[spec.partition(":")[0]].BOUNDED else contextlib.nullcontext()
            with bounded:
                found.append(clean(source(task, prompts, answers)))
        weights = self.weights or [1.0] * len(found)
        return [None if any(value is None for value in row) else sum(weight * value for weight, value in zip(weights, row, strict=True)) for row in zip(*found, strict=True)]


def clean(values: Sequence[float | None]) -> list[float | None]:
    """NaN and infinity are no rewards."""
    return [None if value is None or not -float("inf") < float(value) < float("inf") else float(value) for value in values]
