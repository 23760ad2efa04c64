"""Runs and bases behind an engine in another process: what it is started with, and models that answer through it."""
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from luthier.data.dataset import DataSet
from luthier.errors import CheckpointError, RecipeError
from luthier.files import verify
from luthier.models.configuration import read_configuration
from luthier.models.families import family_of
from luthier.models.gguf import context_of, tokenizer_of
from luthier.models.location import locate
from luthier.models.machine import machine
from luthier.models.tokenizer import load_tokenizer
from luthier.preparation.renderer import Renderer
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.runs.folder import Run
from luthier.serving.hosts import Model
from luthier.serving.outside import OUTSIDE
from luthier.serving.outside.host import FarHost, FarView
from luthier.serving.outside.kind import Asked, Kind, Shown
from luthier.serving.outside.likeness import has_names, reads_alike, writes_alike
from luthier.serving.outside.process import Started, Watched
from luthier.tasks import TASKS
from luthier.verbs.comparing import chosen_rows
from luthier.verbs.opening import resolved, task_of
from luthier.verbs.serving import answer_tokens, base_id, is_run, told

KEY_VARIABLE = "LUTHIER_ENGINE_KEY"
KEPT_ANSWERS = 8
"""Answers of a run that an engine is asked for again."""


@dataclass
class Source:
    """One name of the command line: what an engine needs of it."""

    id: str
    base: Path
    """A model folder or a GGUF file."""
    base_name: str
    adapter: Path | None = None
    rank: int = 0
    run: Run | None = None
    recipe: object = None


def open_outside(names: Sequence[str], engine: str, url: str | None, *, max_rows: int, log_file: Path, say: Say = silent) -> tuple[Watched, list[Model]]:
    """An engine, not yet started, and the models behind it. RecipeError (R189) with the line that installs it where it is missing, or where it cannot serve what is named."""
    if engine not in OUTSIDE:
        raise RecipeError(f"there is no engine {engine!r}; there are: {', '.join(OUTSIDE)}", code="R189", field="--engine", hint="leave --engine out to serve with Luthier itself")
    kind = OUTSIDE[engine]
    program = "" if url else found_program(kind)
    sources = [source_of(name, kind) for name in names]
    if len({str(source.base) for source in sources}) > 1 or len(sources) > 1 and kind.reads == "gguf":
        raise RecipeError(f"one {engine} process serves one base, and {', '.join(source.id for source in sources)} stand on several", code="R189", field="--engine", hint="start a server for each, on ports of their own")
    first = sources[0]
    tokenizer, template, context, ends = read_base(first.base, first.recipe)
    shown = shown_of(sources, kind, context, max_rows)
    if url:
        watched: Watched = Watched(kind, address_of(url), os.environ.get(KEY_VARIABLE))
    else:
        watched = Started(kind, program=program, shown=shown, log_file=log_file)
    host = FarHost(watched, max_rows)
    renderer = Renderer(tokenizer, template, context)
    models = [model_of(source, host, FarView(tokenizer, context, ends), renderer) for source in sources]
    if shown.id not in {model.id for model in models}:
        chat = TASKS["chat"]().prepared(labels=[])
        models.insert(0, Model(shown.id, host, renderer, chat, view=models[0].view, facts={"task": "chat", "source": str(first.base), "engine": engine}))
    watched.accept = lambda engine: accept(engine, models, sources, say)
    return watched, models


def found_program(kind: Kind) -> str:
    program = shutil.which(kind.program)
    if program is None:
        raise RecipeError(f"--engine {kind.name} needs {kind.program}, which is not on PATH", code="R189", field="--engine", hint=kind.install)
    return program


def address_of(url: str) -> str:
    """The root of an engine's address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise RecipeError(f"{url[:200]!r} is no address of an engine", code="R189", field="--engine-url", hint="write it like http://127.0.0.1:8001")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


# ---- what is served -----------------------------------------------------------------------------
def source_of(name: str, kind: Kind) -> Source:
    """What an engine needs of a name: a run, a base, or a GGUF file."""
    if Path(name).suffix == ".gguf" and Path(name).is_file():
        if kind.reads != "gguf":
            raise RecipeError(f"{kind.name} is given a model folder, and {name} is a GGUF file", code="R189", field="--engine", hint="use --engine llamacpp")
        return Source(Path(name).stem, Path(name).resolve(), Path(name).stem)
    if not is_run(name):
        if kind.reads == "gguf":
            raise RecipeError(f"{kind.name} is given a GGUF file, and {name} is a base", code="R189", field="--engine", hint="name a .gguf file, or a run that was exported with `luthier export RUN --to gguf`")
        place = locate(name)
        return Source(base_id(name), place.folder, base_id(name))
    run = runs.find(name)
    recipe = resolved(run)
    if not run.model_folder.is_dir():
        raise CheckpointError(f"{run.name} has no model yet: its status is {run.status()}", code="C108", file=str(run.model_folder), hint=f"luthier train --resume {run.name}")
    if not task_of(run, recipe, answer_tokens(recipe)).writes or recipe.retrieval.in_training:
        why = "was trained with passages before its questions" if recipe.retrieval.in_training else "gives labels, for which it is asked by likelihoods"
        raise RecipeError(f"{run.name} {why}; an engine in another process only writes", code="R189", field="--engine", hint="serve it without --engine")
    if kind.reads == "folder" and recipe.method.adapter_in_vllm and "modules_to_save" in (config := adapter_facts(run)) and not config["modules_to_save"]:
        verify(run.model_folder)
        return Source(run.name, locate(recipe.model).folder, base_id(recipe.model), run.model_folder, int(config["r"]), run, recipe)
    return Source(run.name, copy_of(run, kind), run.name, None, 0, run, recipe)


def adapter_facts(run: Run) -> dict:
    path = run.model_folder / "adapter_config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def copy_of(run: Run, kind: Kind) -> Path:
    """The proven copy of a run that an engine can read, its bytes checked; RecipeError (R189) with the line that makes one."""
    to = "gguf" if kind.reads == "gguf" else "merged"
    found = sorted((path for path in (run.path / "export").glob(f"{to}-*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    if not found:
        raise RecipeError(f"{kind.name} needs a copy of {run.name} as {to}, and there is none", code="R189", field="--engine", hint=f"luthier export {run.name} --to {to}")
    verify(found[-1])
    return next(found[-1].glob("*.gguf")) if to == "gguf" else found[-1]


def read_base(base: Path, recipe) -> tuple[object, str | None, int, frozenset[int]]:
    """Tokenizer, chat template, context and end tokens of a folder or a file."""
    if base.suffix == ".gguf":
        tokenizer, template = tokenizer_of(base)
        return tokenizer, template, context_of(base), frozenset({tokenizer.eos_token_id} - {None})
    config, _ = read_configuration(base, base)
    tokenizer, template, _ = load_tokenizer(base, base, config)
    named = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    return tokenizer, template, family_of(config.model_type).context(config), frozenset({tokenizer.eos_token_id, *named} - {None})


def shown_of(sources: Sequence[Source], kind: Kind, context: int, max_rows: int) -> Shown:
    precision = sources[0].recipe.training.precision if sources[0].recipe is not None else "bf16" if machine().bf16 else "fp32"
    adapters = {source.id: source.adapter for source in sources if source.adapter is not None}
    return Shown(sources[0].base, sources[0].base_name, context, max_rows, precision, adapters, max(source.rank for source in sources))


def model_of(source: Source, host: FarHost, view: FarView, renderer: Renderer) -> Model:
    """The model of a name."""
    facts = {"task": "chat", "source": source.base_name, "engine": host.engine.kind.name}
    task, most = TASKS["chat"]().prepared(labels=[]), 512
    if source.run is not None:
        most = answer_tokens(source.recipe)
        task = task_of(source.run, source.recipe, most)
        facts = {**told(source.run, source.recipe, task), "engine": host.engine.kind.name}
    return Model(source.id, host, renderer, task, view=view, parent=source.base_name if source.adapter is not None else None, max_new_tokens=most, facts=facts)


# ---- whether it is the model --------------------------------------------------------------------
def accept(engine: Watched, models: Sequence[Model], sources: Sequence[Source], say: Say) -> None:
    """Look closely at an engine that begins to answer: names, ids, and the answers that each run kept."""
    has_names(engine, [model.id for model in models])
    for model in models:
        texts = reads_alike(engine, model.id, model.view.tokenizer)
    say(Event("note", f"{engine.kind.name} at {engine.url} reads {texts} hard texts as these models do"))
    by_id = {model.id: model for model in models}
    for source in sources:
        if source.run is not None and (kept := kept_answers(source, by_id[source.id])):
            equal = writes_alike(engine, *kept)
            say(Event("warning" if equal < len(kept[1]) else "note", f"{source.id}: {equal} of {len(kept[1])} answers that the run gave on test rows come out word for word", {"code": "X124"}))


def kept_answers(source: Source, model: Model) -> tuple[list[Asked], list[str]] | None:
    """Questions of a run's test rows and its answers to them; None where it kept none."""
    path = source.run.evaluation_folder / "tuned.answers.jsonl"
    ask: Callable | None = getattr(model.task, "prompt_messages", None)
    if not path.exists() or ask is None:
        return None
    records = chosen_rows(DataSet(source.run.data_folder).records("test"), source.recipe.evaluation.max_rows)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    ends = tuple(sorted(model.view.stop_tokens | model.renderer.stop_tokens))
    words = tuple(model.view.tokenizer.convert_ids_to_tokens(token) for token in ends)
    pairs = [
        (Asked(model.id, model.renderer.prompt(list(ask(record, ()))), max(1, row["tokens_out"]), 0.0, 1.0, 0, 0, 0.0, 0.0, (), ends, words, {}, None, None), row["text"])
        for record, row in zip(records[:KEPT_ANSWERS], rows, strict=False) if row["tokens_out"]
    ]
    return ([asked for asked, _ in pairs], [text for _, text in pairs]) if pairs else None
