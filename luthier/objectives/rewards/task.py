"""`task:METRIC`: the task's own score of an answer against the prompt's reference, row by row."""
from collections.abc import Sequence

from luthier.data.records import Prompt
from luthier.errors import RecipeError
from luthier.tasks.answers import Answer
from luthier.tasks.prompts import conversation

BOUNDED = False


def check(metric: str, reward) -> None:
    """What metrics there are is known once the task has scored something."""


def make(metric: str, reward):
    """Rewards by a metric of the task; RecipeError where the task has none of that name or a prompt has no reference."""

    def grade(task, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        if any(prompt.reference is None for prompt in prompts):
            raise RecipeError(f"reward task:{metric} compares with references, and a prompt has none", code="R191", field="objective.rewards", hint="give each prompt a `reference`, or use another reward")
        found = task.score([Answer(text) for text in answers], [conversation(prompt) for prompt in prompts])
        if metric not in found:
            raise RecipeError(f"task {task.name} has no metric {metric}", code="R191", field="objective.rewards", hint=f"there are: {', '.join(found)}")
        sign = 1.0 if found[metric].higher_is_better else -1.0
        return [sign * float(value) for value in found[metric].per_row]

    return grade
