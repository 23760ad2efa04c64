"""Who answers the test rows beside the tuned model: guesses, neighbours, a linear model, the base as it is and with examples.

A `Kind` says how a contestant is made and what it needs; `make(name, train=..., base=..., ...)` hands it just that. What learns,
learns from training rows only.
"""
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from luthier.errors import RecipeError
from luthier.evaluation.contestants import (
    base,
    coin,
    copy,
    dictionary,
    endpoint,
    few_shot,
    lead,
    length,
    majority,
    median,
    nearest,
    nearest_embedding,
    probe,
    prompt,
    rag,
    ridge,
    scratch,
    tfidf,
    tuned,
    tuned_rag,
    word_features,
)
from luthier.evaluation.contestants.contestant import Contestant


@dataclass(frozen=True)
class Kind:
    """How a contestant comes to be."""

    make: Callable[..., Contestant]
    """Takes the materials it needs by name."""
    needs: tuple[str, ...]
    """Which materials it cannot do without."""
    takes: tuple[str, ...]
    """Which others it can be told."""
    records: tuple[str, ...]
    """Kinds of record it can answer."""
    sentence: str
    """What it does, for the report."""


ASKED = ("labelled", "multi_labelled", "conversation", "pair")
LABELS = ("labelled",)
SETS = ("labelled", "multi_labelled")
NUMBERS = ("scored",)
SPANS = ("tagged",)
JUDGED = ("preference", "rated", "prompt")
ALL = (*ASKED, "text", *SPANS, *NUMBERS, *JUDGED)
CONTESTANTS = {
    "majority": Kind(majority.make, ("train",), (), ASKED, "gives everyone the most frequent training answer"),
    "nearest": Kind(nearest.make, ("train",), (), (*ASKED, *NUMBERS), "copies the answer of the most similar training row"),
    "tfidf": Kind(tfidf.make, ("train",), ("seed",), SETS, "a linear model on counted words and letters"),
    "nearest_embedding": Kind(nearest_embedding.make, ("train", "embed"), (), LABELS, "copies the nearest label, by the base's embeddings"),
    "probe": Kind(probe.make, ("train", "embed"), ("seed",), LABELS, "a linear model on the base's frozen embeddings"),
    "dictionary": Kind(dictionary.make, ("train",), (), SPANS, "marks what the training rows have marked, looked up word by word"),
    "word_features": Kind(word_features.make, ("train",), ("seed",), SPANS, "a linear model on the look of each word and its neighbours"),
    "lead": Kind(lead.make, ("train",), (), ("pair",), "copies the beginning of the source"),
    "copy": Kind(copy.make, (), (), ("conversation",), "gives the question back"),
    "coin": Kind(coin.make, (), (), ("preference",), "prefers neither answer, for what guessing gives"),
    "length": Kind(length.make, ("train",), (), ("preference",), "takes the longer answer of each pair, or always the shorter"),
    "median": Kind(median.make, ("train",), (), NUMBERS, "gives everyone the median of the training numbers"),
    "ridge": Kind(ridge.make, ("train",), ("seed",), NUMBERS, "a linear model on counted words and letters"),
    "base": Kind(base.make, ("base",), (), ALL, "the base as it came"),
    "prompt": Kind(prompt.make, ("base", "score", "lengths", "room"), ("validation", "instructions"), ASKED, "the base with the best of several written instructions"),
    "few_shot": Kind(few_shot.make, ("base", "train"), ("shots", "shots_by", "validation", "score", "seed"), ASKED, "the base, shown training rows in its prompt"),
    "rag": Kind(rag.make, ("base", "search", "lengths", "room"), (), ASKED, "the base, with passages found for each question"),
    "endpoint": Kind(endpoint.make, ("endpoint",), (), ASKED, "a hosted model behind an OpenAI-compatible address"),
    "tuned": Kind(tuned.make, ("tuned",), (), ALL, "the tuned model"),
    "tuned_rag": Kind(tuned_rag.make, ("tuned", "search", "lengths", "room"), (), ASKED, "the tuned model, with passages found for each question"),
    "scratch": Kind(scratch.make, ("scratch",), (), ALL, "the same architecture from a random start, trained as long"),
}


def after_training(name: str) -> bool:
    """Whether a contestant can answer only once the model is tuned, or trains something itself."""
    return name in CONTESTANTS and bool({"tuned", "scratch"} & set(CONTESTANTS[name].needs))


def make(name: str, **materials) -> Contestant:
    """The contestant of this name from its materials; those it has no use for are ignored.

    `train`, `validation`: records. `base`, `tuned`, `endpoint`: `respond(records, shots) -> list[Answer]`, where shots is None or, per
    record, training records with the most similar first, of which it takes as many as fit. `embed`: texts -> [N, D]. `search`: questions
    -> texts of passages. `lengths`: records -> tokens of their prompts, `room`: most of them. `score`: (answers, records) -> more is
    better. `scratch`: trains, and returns a respond. `shots`, `shots_by`, `instructions`: as in the recipe.
    Raises RecipeError for a name that is not known or a need that is not met.
    """
    if name not in CONTESTANTS:
        hint = f"choose from {', '.join(CONTESTANTS)}"
        raise RecipeError(f"there is no contestant {name!r}", code="R160", hint=hint, field="evaluation.contestants")
    kind = CONTESTANTS[name]
    if missing := [need for need in kind.needs if materials.get(need) is None]:
        message = f"contestant {name} needs {' and '.join(missing)}, which this task, base and recipe do not give"
        raise RecipeError(message, code="R161", hint=f"leave {name} out of evaluation.contestants", field="evaluation.contestants")
    import_module("sklearn.feature_extraction.text")  # here, so that no contestant's own time counts it
    told = (*kind.needs, *kind.takes)
    return kind.make(**{word: value for word, value in materials.items() if word in told and value is not None})
