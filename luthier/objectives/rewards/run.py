"""`run:NAME`: the score that a reward model, tuned in another run, gives an answer."""
from collections.abc import Sequence

from luthier.data.records import Prompt
from luthier.errors import RecipeError
from luthier.files import verify
from luthier.methods import METHODS
from luthier.runs import folder as runs
from luthier.tasks.pairs import SCORE, answered

BOUNDED = False


def check(name: str, reward) -> None:
    """The run is there, is done, and learned to score."""
    run = runs.find(name)
    if run.facts().get("objective") != "reward" or not run.model_folder.is_dir():
        raise RecipeError(f"run {run.name} is no finished reward model", code="R191", field="objective.rewards", hint="train one: luthier train PAIRS objective=reward")


def make(name: str, reward):
    """Scores by the run's model; its own tokenizer and template render the answers. One that is too long for it has no reward."""
    from luthier.models.load import load  # torch
    from luthier.preparation.examples import example
    from luthier.preparation.renderer import Renderer
    from luthier.tasks.comparing import scores

    run = runs.find(name)
    verify(run.model_folder)
    facts = run.facts()
    model = load(facts["model"]["name"], head="sequence_class", labels=list(SCORE), seed=facts["seed"])
    model.network = METHODS[facts["method"]]().load(model, run.model_folder).requires_grad_(False)
    renderer = Renderer(model.tokenizer, model.template, model.context, head="sequence_class")

    def grade(task, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float | None]:
        prepared = renderer.conversations([answered(prompt.messages, answer) for prompt, answer in zip(prompts, answers, strict=True)])
        found = scores(model, [(item.examples[0] if item.examples else example([0])).tokens for item in prepared])
        return [value if item.examples else None for value, item in zip(found, prepared, strict=True)]

    return grade


