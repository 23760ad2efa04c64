"""The stages that verbs share: recipe -> data -> base -> tokens -> answers. Each takes what it needs and leaves a value."""
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from luthier import settings
from luthier.data import dataset, mixture
from luthier.data.dataset import DataSet
from luthier.data.settings import share
from luthier.errors import DataError, RecipeError
from luthier.methods.targets import new_weights
from luthier.models.head_kinds import HEAD_KINDS
from luthier.models.language_model import LanguageModel
from luthier.models.load import ModelFacts, load
from luthier.models.machine import Machine, machine
from luthier.preparation.cache import prepare
from luthier.preparation.checks.learned import learned_elsewhere
from luthier.preparation.renderer import Renderer
from luthier.preparation.store import TokenStore
from luthier.runs.events import Event, Say, silent
from luthier.tasks import TASKS
from luthier.tasks.answers import Answer
from luthier.tasks.pairs import answering
from luthier.tasks.task import Seeing
from luthier.training.settings import TrainingSettings
from luthier.verbs import recipe as recipes
from luthier.verbs.guessing import recipe_of_data
from luthier.verbs.recipe import Recipe
from luthier.verbs.resolve import Circumstances, Resolved, answer_length, resolve

SPLITS = ("train", "validation", "test")
SMALL = 20e6
"""Parameters below which every objective takes the method's own rate: a range test of DPO on hh-rlhf with 0.7 M parameters is lowest at 1e-3."""
DEMONSTRATION = "spruce is a demonstration base of 7 M parameters; for real use change one line, for example model: Qwen/Qwen3-0.6B"


# ---- recipe -------------------------------------------------------------------------------------
def open_recipe(target: str | Path | None, overrides: Iterable[str] | Mapping, say: Say) -> tuple[Recipe, dict]:
    """The recipe of a target; data instead of a recipe is guessed from, as init does, and that is said."""

    asked, aim = asked_task(overrides), recipes.asked_objective(overrides)
    if asked and aim and aim.record:
        answering(asked, aim.name)  # what cannot go together is told as such, before the columns of its data are missed

    def guess(path: str) -> dict:
        mapping, sentence = recipe_of_data(path, task=asked and asked.name, record=(aim and aim.record) or (asked and asked.record))
        say(Event("note", f"{sentence} (luthier init {path} writes this down)"))
        return mapping

    found, origins = recipes.load(target, overrides, guess=guess)
    first = next(iter(found.data.sources.values()), found.data.train)
    if not first:
        raise RecipeError("the recipe names no data", code="R153", field="data.train", hint="set data.train to a file, a folder, a hub id or -, or data.sources to several")
    if found.task is None:
        mapping, sentence = recipe_of_data(first, columns=found.data.map, record=found.objective.record)
        say(Event("note", sentence))
        task = mapping["task"] if isinstance(mapping["task"], dict) else {"name": mapping["task"]}
        found = dataclasses.replace(found, task=TASKS[task["name"]](**{key: value for key, value in task.items() if key != "name"}))
    return found, origins


def asked_task(overrides: Iterable[str] | Mapping):
    """The task that is named beside a data file, since it decides how the columns are read; None where none is, or it is not one."""
    pairs = overrides.items() if isinstance(overrides, Mapping) else (word.partition("=")[::2] for word in overrides)
    given = {str(key): value for key, value in pairs if str(key).split(".")[0] == "task"}
    named = given.pop("task", None)
    inner = dict(named) if isinstance(named, Mapping) else {"name": named}
    inner |= {key.removeprefix("task."): value for key, value in given.items()}
    asked = {key: value for key, value in inner.items() if key != "name"}
    fitting = [name for name, kind in TASKS.items() if asked and {field.name for field in dataclasses.fields(kind)} >= set(asked)]
    name = inner.get("name") or (fitting[0] if len(fitting) == 1 else None)
    if name not in TASKS:
        return None
    try:
        mapping: dict = {}
        for key, value in asked.items():
            settings.apply(mapping, f"task.{key}={value}", cls=Recipe) if isinstance(value, str) else settings.put(mapping, f"task.{key}", value)
        return settings.build(TASKS[name], mapping.get("task", {}))
    except RecipeError:
        return TASKS[name]()  # what is wrong with it is told when the whole recipe is read


# ---- data ---------------------------------------------------------------------------------------
def read_data(recipe: Recipe, folder: Path, say: Say, *, strict: bool = True) -> DataSet:
    """Read, check and split the data into a folder; with `strict`, findings of level error stop here."""
    task = recipe.lesson
    say(Event("phase", "data", {"name": "data"}))
    build = mixture.build if recipe.data.sources else dataset.build
    return build(recipe.data, task=task.name, record=task.record, identity=task.identity, folder=folder, strict=strict, say=say)


def task_with(task, labels: Sequence[str], summary: Mapping, max_new_tokens: int, say: Say = silent):
    """The task with what the data and the recipe settle; what it takes from the training rows is said."""
    found = task.prepared(labels=labels, max_new_tokens=max_new_tokens)
    if isinstance(found, Seeing):
        found, sentence = found.seen(summary.get("train", {}).get("labels", {}))
        if sentence:
            say(Event("note", sentence))
    return found


# ---- base ---------------------------------------------------------------------------------------
def circumstances(base: ModelFacts, sources: int, one_by_one: bool, store: TokenStore, rows: int, target_tokens: int, here: Machine, new_head: bool) -> Circumstances:
    return Circumstances(
        rows, float(np.mean(store.lengths)), target_tokens, base.parameters, base.context, here.bf16, here.cores, here.accelerator,
        *(store.lengths, np.asarray(store.learned), store.labels, store.values) if one_by_one else (None,) * 4, sources, base.width, new_head,
    )


def multiples(language_model: LanguageModel, trainable: Iterable[str], settings: TrainingSettings) -> dict[str, float]:
    """How many times the learning rate each weight of a new output layer learns at, by name; empty where all learn alike."""
    if not settings.head_learning_rate:
        return {}
    return dict.fromkeys(new_weights(language_model, trainable), settings.head_learning_rate / settings.learning_rate)


def load_base(recipe: Recipe, base: ModelFacts, labels: Sequence[str], precision: str, say: Say, *, scratch_seed: int | None = None) -> LanguageModel:
    """The base with the head that the task needs; frozen weights are kept once, in the low precision. With `scratch_seed`, its weights are random."""
    kind = recipe.lesson.head(base.kind)
    low = torch.bfloat16 if precision == "bf16" else None
    dtype = low if low is not None and recipe.method.base_is_frozen else torch.float32
    say(Event("phase", "base", {"name": "base"}))
    language_model = load(recipe.model, head=kind, labels=[*head_labels(recipe.lesson, labels)] or None, dtype=dtype, autocast=low, seed=recipe.seed, device=machine().device, scratch_seed=scratch_seed)
    language_model.context = room_for_text(recipe.method, language_model.context)
    for notice in language_model.notices:
        say(Event("note", notice))
    if recipe.model == "spruce":
        say(Event("note", DEMONSTRATION))
    return language_model


def head_labels(lesson, labels: Sequence[str]) -> Sequence[str]:
    """Names of a class head's outputs: those of the data, or those that the lesson brings."""
    return lesson.labels if hasattr(lesson, "labels") and lesson.labels else labels


def room_for_text(method, context: int) -> int:
    """What is left of the context beside the positions that a method takes for itself; RecipeError where that is nothing."""
    if method.positions >= context:
        raise RecipeError(f"method.tokens is {method.positions}, and the base's context has {context} positions in all", code="R126", field="method.tokens", hint="take fewer virtual tokens")
    return context - method.positions


def renderer_of(language_model: LanguageModel, head: str, say: Say, when_long: str = "exclude") -> Renderer:
    renderer = Renderer(language_model.tokenizer, language_model.template, language_model.context, head=head, when_long=when_long)
    for notice in renderer.notices:
        say(Event("note", notice))
    return renderer


# ---- tokens -------------------------------------------------------------------------------------
@dataclass
class Tokens:
    """Prepared examples of each split and what became of the rows on the way."""

    stores: dict[str, TokenStore]
    """By split; those without rows are absent."""
    kept: dict[str, list[int]]
    """By split, 0-based indices of the records that have examples."""
    ledger: dict
    """By split, the whole account: rows and tokens."""


def prepare_tokens(data: DataSet, task, renderer: Renderer, folder: Path, say: Say, *, led: Callable[[Sequence], list] | None = None, led_key: str = "") -> Tokens:
    """Render and tokenize every split into a cache; rows that do not fit leave with a reason in the ledger. `led` changes the records of the splits
    that are learned from or looked at while learning; `led_key` names what it does, by hash."""
    say(Event("phase", "tokens", {"name": "tokens"}))
    stores, kept, ledger = {}, {}, {}
    for split in SPLITS:
        account = data.ledger[split]
        if data.count(split):
            rows, content = data.iterate(split), f"{data.fingerprint} {split}"
            if led is not None and split != "test":
                rows, content = (row for part in parts_of(rows) for row in led(part)), f"{content} {led_key}"
            prepared = prepare(rows, task.examples, renderer, folder / split, content=content, task=task, say=say)
            stores[split], kept[split], account = prepared.store, prepared.kept, prepared.account(account)
        ledger[split] = account.to_dict()
    return Tokens(stores, kept, ledger)


def parts_of(rows: Iterable, size: int = 256) -> Iterator[list]:
    """A stream in lists, so that what is asked for many rows at once need not wait for all of them."""
    rows = iter(rows)
    while part := list(itertools.islice(rows, size)):
        yield part


def refuse_unlearnable(tokens: Tokens, least: float) -> None:
    """Stop before training when nothing, or next to nothing, would be learned."""
    if "train" not in tokens.stores or not len(tokens.stores["train"]):
        raise DataError("no training row is left to learn from", code="D411", hint="luthier check shows why each row was left out")
    store = tokens.stores["train"]
    if learned_elsewhere(store):
        return
    share = store.tokens_learned / max(1, store.tokens)
    if store.tokens_learned == 0 or share < least:
        raise DataError(
            f"{share:.2%} of the training tokens would be learned; the least is {least:.2%}", code="D411", field="data.min_learned_share",
            hint="luthier check --show 3 shows which tokens are learned",
        )


def target_length(store: TokenStore, task) -> int:
    """99 % of the training answers have at most so many tokens."""
    if not task.writes:
        return 0
    return int(np.quantile(np.asarray(store.learned), 0.99))


def settle(recipe: Recipe, base: ModelFacts, tokens: Tokens, here: Machine, sources: int = 1) -> tuple[Recipe, dict[str, str]]:
    """The recipe with every `auto` a number, and the reasons; `sources` counts the data sets of a mixture; replayed text is one more."""
    store = tokens.stores["train"]
    sources += (share(recipe.data.replay, "replay") or 0.0) > 0
    around = circumstances(base, sources, recipe.objective.learns_tokens, store, len(store) // recipe.objective.examples_a_unit, target_length(store, recipe.lesson), here, HEAD_KINDS[recipe.lesson.head(base.kind)].fresh)
    found: Resolved = resolve(recipe.training, around, lambda parameters: default_rate(recipe, parameters))
    if found.settings.packing and recipe.lesson.head(base.kind) != "causal":
        raise RecipeError("training.packing puts several examples in one row, which only a causal head keeps apart", code="R158", field="training.packing", hint="leave training.packing out")
    evaluation, reasons = recipe.evaluation, dict(found.reasons)
    if evaluation.max_new_tokens == "auto":
        value, reason = answer_length(around)
        evaluation = dataclasses.replace(evaluation, max_new_tokens=value)
        if recipe.lesson.writes:
            reasons["evaluation.max_new_tokens"] = reason
    if evaluation.contestants == "auto":
        evaluation = dataclasses.replace(evaluation, contestants=list(recipe.lesson.contestants(base.kind)))
        reasons["evaluation.contestants"] = "all that this task knows"
    if evaluation.shots == "auto":
        evaluation = dataclasses.replace(evaluation, shots=32)
        reasons["evaluation.shots"] = "as many of them as fit into the context"
    return dataclasses.replace(recipe, training=found.settings, evaluation=evaluation), reasons


# ---- answers ------------------------------------------------------------------------------------
def respond_with(task, language_model: LanguageModel, renderer: Renderer, say: Say) -> Callable[[Sequence, Sequence | None], list[Answer]]:
    """A model as contestants see it."""
    return lambda records, shots=None: task.answers(language_model, renderer, records, shots=shots, say=say)


def default_rate(recipe: Recipe, parameters: int) -> tuple[float, str]:
    """The method's learning rate, times what the objective bears of it; small networks, which hold little that could be lost, bear the whole of it."""
    rate, reason = recipe.method.default_learning_rate(parameters)
    factor = recipe.objective.rate_factor if parameters >= SMALL else 1
    return (rate, reason) if factor == 1 else (rate * factor, f"{reason}; {recipe.objective.name} bears {factor:g} of it")


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def embedder(language_model, renderer):
    """Frozen embeddings of texts, for encoders."""
    from luthier.models.embedding import embed

    return (lambda texts: embed(language_model, [renderer.text(text) for text in texts])) if renderer.head == "sequence_class" else None
