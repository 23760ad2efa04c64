"""Runs and bases as models that answer: which share one base in memory, and what their ids are."""
import contextlib
import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from luthier.data.dataset import DataSet
from luthier.errors import CheckpointError, RecipeError
from luthier.evaluation.contestants.context import laid
from luthier.files import read_json, verify
from luthier.methods.bank import Bank
from luthier.models.heads import transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.load import facts, load
from luthier.models.machine import machine
from luthier.preparation.renderer import Renderer
from luthier.retrieval.settings import RetrievalSettings
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.runs.folder import Run
from luthier.serving.abstaining import Abstention
from luthier.serving.hosts import Host, Model
from luthier.tasks import TASKS
from luthier.verbs.materials import index_of
from luthier.verbs.opening import labels_of, open_run, resolved, task_of
from luthier.verbs.recipe import Recipe
from luthier.verbs.stages import load_base, renderer_of

PREFIX = "ft:"


class Shelf:
    """Bases in memory. A run whose adapter can share its base with others gets a place there; any other gets a base of its own."""

    def __init__(self, *, max_rows: int, documents: str | None = None, abstain: float | None = None, say: Say = silent):
        """`documents`: a file or folder whose passages are laid before every question of a chat; `abstain`: most wrong labels among those given."""
        self.max_rows, self.abstain, self.say = max_rows, abstain, say
        self.lead = None if documents is None else lead_with(RetrievalSettings(documents=documents))
        self.shared: dict[tuple, tuple[Host, Renderer]] = {}

    # ---- bases ----------------------------------------------------------------------------------
    def base(self, name: str) -> Model:
        """A base as it came."""
        known = facts(name)
        if known.kind != "decoder":
            raise RecipeError(f"{name} is an encoder: by itself it answers nothing", code="R183", hint="serve a run that was tuned on it")
        precision = "bf16" if machine().bf16 else "fp32"
        host, renderer = self.of(name, precision, lambda: self.plain(name, precision))
        return Model(base_id(name), host, renderer, TASKS["chat"]().prepared(labels=[]), facts={"task": "chat", "source": name, "fingerprint": host.language_model.fingerprint[:16]})

    def plain(self, name: str, precision: str) -> tuple[LanguageModel, Renderer]:
        low = torch.bfloat16 if precision == "bf16" else None
        language_model = load(name, dtype=low or torch.float32, autocast=low, device=machine().device)
        return language_model, renderer_of(language_model, "causal", silent)

    def of(self, name: str, precision: str, make: Callable[[], tuple[LanguageModel, Renderer]]) -> tuple[Host, Renderer]:
        """The one host of a base in a precision."""
        key = (name, precision, "causal")
        if key not in self.shared:
            language_model, renderer = make()
            self.shared[key] = (Host(language_model, Bank(language_model), self.max_rows), renderer)
        return self.shared[key]

    # ---- runs -----------------------------------------------------------------------------------
    def run(self, name: str) -> list[Model]:
        """The models of a run: itself, and its base where the two share one network."""
        run = runs.find(name)
        recipe = resolved(run)
        if not run.model_folder.is_dir():
            raise CheckpointError(f"{run.name} has no model yet: its status is {run.status()}", code="C108", file=str(run.model_folder), hint=f"luthier train --resume {run.name}")
        kept = verify(run.model_folder)
        if recipe.retrieval.in_training and recipe.task.name != "chat":
            raise RecipeError(f"{run.name} was trained with passages before its questions; only chats are served so", code="R187", hint=f"luthier predict {run.name} asks it as it was trained")
        lead = self.lead
        if recipe.retrieval.in_training:  # a model that was trained with passages is never asked without them
            lead = lead_with(recipe.retrieval, train=DataSet(run.data_folder).records("train"), folder=run.path / "retrieval" / "vectors")
        return [self.silenced(self.led(model, lead), run) for model in self.opened(run, recipe, kept)]

    def silenced(self, model: Model, run: Run) -> Model:
        """A model of labels that abstains where it is not sure enough."""
        if self.abstain is not None and model.facts.get("run") and "labels" in model.facts:
            model.abstention = abstention_of(run, self.abstain)
            self.say(Event("note", f"{run.name} abstains below a confidence of {model.abstention.threshold:.3f}: of rows it never saw it answers {model.abstention.answered:.0%}, at most {self.abstain:.0%} of these wrongly"))
        return model

    def led(self, model: Model, lead) -> Model:
        """A chat with passages before its questions."""
        if model.facts.get("task") == "chat" and model.writes and (model.facts.get("run") or self.lead):
            model.lead = lead if model.facts.get("run") else self.lead
        return model

    def opened(self, run: Run, recipe: Recipe, kept: dict) -> list[Model]:
        """The models of a run in memory."""
        if recipe.method.shares_base and facts(recipe.model).kind != "encoder_decoder" and (run.model_folder / "adapter_config.json").exists():
            with contextlib.suppress(NotShared):
                return self.beside_others(run, recipe, kept["base"])
        opened = open_run(str(run.path), silent)
        self.say(Event("note", f"{run.name}: {recipe.task.name}, on a base of its own"))
        host = Host(opened.language_model, None, self.max_rows)
        return [Model(run.name, host, opened.renderer, opened.task, max_new_tokens=answer_tokens(recipe), facts=told(run, recipe, opened.task))]

    def beside_others(self, run: Run, recipe: Recipe, fingerprint: str) -> list[Model]:
        """The run's adapter in the bank of its base."""
        base = facts(recipe.model)
        kind = recipe.lesson.head(base.kind)
        task = task_of(run, recipe, answer_tokens(recipe))
        known = told(run, recipe, task)
        if kind == "causal":
            host, renderer = self.of(recipe.model, recipe.training.precision, lambda: self.plain(recipe.model, recipe.training.precision))
            view, swaps = None, {}
        else:
            host, renderer, view = self.headed(recipe, labels_of(run), kind)
        if host.language_model.fingerprint != fingerprint:
            raise CheckpointError(
                f"{run.name} was tuned on a base with fingerprint {fingerprint[:12]}, {recipe.model} now has {host.language_model.fingerprint[:12]}", code="C105",
                file=str(run.model_folder), hint="put the base back as it was, or train again",
            )
        place = shared_place(host.bank, run.model_folder, whole_allowed=view is not None)
        if view is not None:
            swaps = put_whole(view, host.bank.kept[place].whole)
        self.say(Event("note", f"{run.name}: {recipe.task.name}, an adapter on {recipe.model}"))
        tuned = Model(run.name, host, renderer, task, place, view=view, swaps=swaps, parent=base_id(recipe.model), max_new_tokens=answer_tokens(recipe), facts=known)
        if view is not None:
            return [tuned]
        chat = TASKS["chat"]().prepared(labels=[])
        return [Model(base_id(recipe.model), host, renderer, chat, facts={"task": "chat", "source": recipe.model, "fingerprint": fingerprint[:16]}), tuned]

    def headed(self, recipe: Recipe, labels: list[str], kind: str) -> tuple[Host, Renderer, LanguageModel]:
        """The base's host, and a head of the run's own over the host's body."""
        base = facts(recipe.model)
        view = load_base(recipe, base, labels, recipe.training.precision, silent)
        renderer = renderer_of(view, kind, silent)
        key = (recipe.model, recipe.training.precision, "encoder")
        if base.kind == "decoder":
            host, _ = self.of(recipe.model, recipe.training.precision, lambda: self.plain(recipe.model, recipe.training.precision))
        else:
            if key not in self.shared:
                body_owner = copy.copy(view)
                self.shared[key] = (Host(body_owner, Bank(body_owner), self.max_rows), renderer)
            host = self.shared[key][0]
        network = transformer_of(view.network)
        setattr(network, network.base_model_prefix, host.bank.body)
        network.eval()
        return host, renderer, view


def abstention_of(run: Run, risk: float) -> Abstention:
    """When a run keeps silent, by what its calibration probe found; RecipeError (R188) where it was not examined, or so few rows cannot promise it."""
    path = run.evaluation_folder / "probes.json"
    found = (read_json(path) if path.exists() else {}).get("calibration", {}).get("details", {}).get("thresholds")
    if not found:
        raise RecipeError(f"{run.name} has no calibrated threshold, so it cannot abstain", code="R188", field="--abstain", hint=f"luthier eval {run.name} --probe calibration")
    known = {entry["risk"]: entry for entry in found}
    if risk not in known:
        raise RecipeError(f"there is no threshold for a risk of {risk:g}; there are: {', '.join(f'{each:g}' for each in known)}", code="R188", field="--abstain", hint="luthier serve RUN --abstain 0.1")
    if known[risk]["threshold"] is None:
        raise RecipeError(f"no confidence of {run.name} keeps wrong answers surely below {risk:.0%} on its test rows", code="R188", field="--abstain", hint="allow a larger risk, or give it more test rows")
    return Abstention(**known[risk])


def lead_with(settings: RetrievalSettings, *, train: list = (), folder: Path = Path()):
    """A function that lays passages before a question as training does, the last ones leaving first where they do not all fit."""
    if settings.by != "bm25":
        raise RecipeError(f"passages are found by {settings.by}, and a server finds them by bm25 only", code="R187", hint="train with retrieval.by=bm25, or ask with luthier predict")
    index = index_of(settings, train, None, folder, "", silent)

    def lead(text: str, fits: Callable[[str], bool]) -> tuple[str, list]:
        shown = index.search([text], settings.passages)[0]
        while shown and not fits(f"{laid([passage.text for passage in shown])}\n\n{text}"):
            shown = shown[:-1]
        return (f"{laid([passage.text for passage in shown])}\n\n{text}", shown) if shown else (text, [])

    return lead


class NotShared(RecipeError):
    """An adapter that needs a base of its own."""


def shared_place(bank: Bank, folder: Path, *, whole_allowed: bool) -> int:
    """A place in the bank, or NotShared."""
    try:
        place = bank.add(folder)
    except RecipeError as error:
        if error.code == "R180":
            raise NotShared(error.message) from error
        raise
    if bank.kept[place].whole and not whole_allowed:
        bank.remove(place)
        raise NotShared("the adapter brings whole layers")
    return place


def put_whole(view: LanguageModel, whole: dict) -> dict[str, nn.Module]:
    """Give a head the modules that were saved whole. Those that lie inside the shared body are returned, to be put there while the head works."""
    network = transformer_of(view.network)
    prefix = network.base_model_prefix + "."
    inner: dict[str, nn.Module] = {}
    for name in {name.removeprefix(prefix).split(".")[0] for name in whole if name.startswith(prefix)}:
        inner[name] = copy.deepcopy(network.get_submodule(prefix + name))
    for name, tensor in whole.items():
        if name.startswith(prefix):
            first, _, rest = name.removeprefix(prefix).partition(".")
            target = inner[first].get_parameter(rest)
        else:
            target = network.get_parameter(name)
        target.data = tensor.to(target.dtype).to(target.device)
    return inner


def answer_tokens(recipe: Recipe) -> int:
    wanted = recipe.evaluation.max_new_tokens
    return wanted if isinstance(wanted, int) else 128


def base_id(name: str) -> str:
    """A base's id: its hub id or shipped name, or the last part of its path."""
    return name.rstrip("/").rsplit("/", 1)[-1] if Path(name).exists() or name.startswith((".", "/")) else name


def told(run: Run, recipe: Recipe, task) -> dict:
    known = run.facts()
    found = {"task": recipe.task.name, "method": recipe.method.name, "run": run.name, "fingerprint": str((known.get("data") or {}).get("fingerprint", ""))[:16] or None}
    labels = vars(task).get("labels")
    return {**found, **({"labels": list(labels)} if labels else {})}


def aliases_of(model: Model) -> Iterator[str]:
    """Other names: `ft:BASE:RUN`, as the hosted API writes them."""
    if model.parent is not None:
        yield f"{PREFIX}{model.parent}:{model.id}"


def open_models(names: list[str], *, max_rows: int, documents: str | None = None, abstain: float | None = None, say: Say = silent) -> tuple[Shelf, list[Model]]:
    """The models of runs and bases, each name once."""
    shelf = Shelf(max_rows=max_rows, documents=documents, abstain=abstain, say=say)
    found: dict[str, Model] = {}
    for name in names:
        for model in shelf.run(name) if is_run(name) else [shelf.led(shelf.base(name), shelf.lead)]:
            found.setdefault(model.id, model)
    if abstain is not None and all(model.abstention is None for model in found.values()):
        raise RecipeError("none of these models gives labels, so nothing could abstain", code="R188", field="--abstain", hint="leave --abstain out, or serve a classification run")
    return shelf, list(found.values())


def is_run(name: str) -> bool:
    """Whether a name is a run's; else it is a base's."""
    try:
        runs.find(name)
    except RecipeError:
        if Path(name).is_dir() or name == "spruce" or "/" in name:
            return False
        raise
    return True
