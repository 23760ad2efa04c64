"""`regex:PATTERN`: 1 where the pattern is found in the answer, else 0; a group named `answer` must then equal the prompt's reference."""
import re
from collections.abc import Sequence

from luthier.data.records import Prompt
from luthier.errors import RecipeError

BOUNDED = True


def check(pattern: str, reward) -> re.Pattern:
    """RecipeError where the pattern is none."""
    try:
        return re.compile(pattern, re.S)
    except re.error as error:
        raise RecipeError(f"reward regex:{pattern} is no regular expression: {error}", code="R191", field="objective.rewards", hint="escape brackets and backslashes") from None


def make(pattern: str, reward):
    compiled = check(pattern, reward)

    def grade(task, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return [float(right(compiled.search(answer), prompt)) for prompt, answer in zip(prompts, answers, strict=True)]

    return grade


def right(match: re.Match | None, prompt: Prompt) -> bool:
    """Whether the pattern was found and, where it says which part is the answer, that part is the reference."""
    if match is None or "answer" not in match.re.groupindex or prompt.reference is None:
        return match is not None
    return (match["answer"] or "").strip() == prompt.reference.strip()
