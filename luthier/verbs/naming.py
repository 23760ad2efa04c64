"""Names and places in texts by a model that the user names: a token-classification run of one's own, or a folder with such a model."""
from collections.abc import Sequence
from pathlib import Path

from luthier.data.private import TYPES, Names
from luthier.errors import RecipeError
from luthier.models.load import load
from luthier.preparation.renderer import Renderer
from luthier.runs.events import Event, Say, silent
from luthier.tasks.token_classification import PreparedTokenClassification
from luthier.verbs.opening import open_run

KEPT = 50_000
"""Texts whose answers are remembered: a repair looks at most of them again in every round."""


def finder(name: str, say: Say = silent) -> Names:
    """What finds the spans of a model in texts. RecipeError where it is no token classifier, or knows nothing of names and places."""
    language_model, renderer, task = of_folder(name) if (Path(name) / "config.json").is_file() else of_run(name, say)
    kinds = sorted(kind for kind in task.types if kind.upper() in TYPES)
    if not kinds:
        raise RecipeError(f"{name} finds {', '.join(task.types) or 'nothing'}, and none of these is a name or a place", code="R147", hint=f"types that are read: {', '.join(sorted(TYPES))}")
    say(Event("note", f"{name} looks for {', '.join(kinds)}: each text is read by it"))
    known: dict[str, list[tuple[int, int, str]]] = {}

    def find(texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
        new = [text for text in dict.fromkeys(texts) if text not in known and text.strip()]
        if len(known) + len(new) > KEPT:
            known.clear()
            new = [text for text in dict.fromkeys(texts) if text.strip()]
        for text, answer in zip(new, task.predict(language_model, renderer, new), strict=True):
            known[text] = [(span["start"], span["end"], span["label"]) for span in answer["spans"]]
        return [known.get(text, []) for text in texts]

    return find


def of_run(name: str, say: Say):
    """A run of one's own."""
    opened = open_run(name, say)
    if not isinstance(opened.task, PreparedTokenClassification):
        raise RecipeError(f"{name} is a run of the task {opened.recipe.task.name}, and names are found by token_classification", code="R147", hint="train one on texts with marked names, or name a folder with such a model")
    return opened.language_model, opened.renderer, opened.task


def of_folder(name: str):
    """A model as other tools write it: its configuration names the tags of IOB2."""
    model = load(name, head="token_class", keep_labels=True)
    tags = [model.network.config.id2label[at] for at in range(model.network.config.num_labels)]
    if model.fresh or "O" not in tags:
        raise RecipeError(f"{name} has no trained head of tags in IOB2 (it has {', '.join(tags[:6])})", code="R147", hint="name a token-classification model whose labels are O, B-PER, I-PER ...")
    task = Tags(list(dict.fromkeys(tag[2:] for tag in tags if tag[:2] in ("B-", "I-"))), tags)
    return model, Renderer(model.tokenizer, model.template, model.context, head="token_class"), task


class Tags(PreparedTokenClassification):
    """Token classification whose outputs stand in a foreign order."""

    def __init__(self, types: list[str], given: list[str]):
        super().__init__(types)
        self.given = given

    @property
    def tags(self) -> list[str]:
        return self.given
