"""`serve`: tuned models behind an OpenAI-compatible API, until a signal comes."""
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from luthier.errors import LuthierError, RecipeError
from luthier.generation.batcher import Seat
from luthier.generation.text import Writer
from luthier.models.machine import machine
from luthier.retrieval.settings import RetrievalSettings
from luthier.runs.events import Event, Say, silent
from luthier.runs.folder import runs_root
from luthier.serving import app
from luthier.serving.door import Key
from luthier.serving.engine import Ask
from luthier.serving.hosts import Model
from luthier.serving.outside.process import Watched
from luthier.serving.routes import feedback
from luthier.serving.routes import tuning as routes
from luthier.serving.routes.tuning import Tuning
from luthier.serving.service import Service
from luthier.serving.settings import ServerSettings
from luthier.verbs.serving import Shelf, aliases_of, lead_with, open_models
from luthier.verbs.tuning import answer_again, make_tuning

STARTING_SECONDS = 1800.0
"""In which an engine in another process must have begun to answer."""


@dataclass
class Served:
    """A server that is set up and not yet running."""

    service: Service
    application: object
    socket: socket.socket
    shelf: Shelf | None = None
    tuning: Tuning | None = None
    watched: Watched | None = None
    """The engine in another process, where there is one."""

    @property
    def address(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"http://{'[' + host + ']' if ':' in host else host}:{port}"

    @property
    def models(self) -> list[str]:
        return list(self.service.registry.models)

    def run(self) -> None:
        """Serve until a signal comes; jobs that run go on by themselves."""
        try:
            app.run(self.service, self.application, self.socket)
        finally:
            if self.tuning is not None:
                self.tuning.supervisor.stop()
            if self.watched is not None:
                self.watched.stop()


def serve(
    names: list[str], settings: ServerSettings, *, keys_file: Path | None = None, api_key: str | None = None, documents: str | None = None, abstain: float | None = None,
    engine: str | None = None, engine_url: str | None = None, metrics_prefix: str = "luthier_", say: Say = silent,
) -> Served:
    """Set a server up: refuse what is unsafe, bind, load, and warm up in the background while the probes already answer.

    Refused (S120) where it could be reached from outside without a key; RecipeError and CheckpointError where a name is no run or base.
    """
    fixed = () if not api_key else (Key("environment", hashed(api_key)),)
    service = app.build_service(settings, keys_file=keys_file, fixed_keys=fixed)
    service.more["metrics_prefix"] = metrics_prefix
    service.more["feedback"] = feedback.Feedback(runs_root() / ".serving" / "feedback")
    bound = app.listen(settings.host, settings.port)
    if engine is not None or engine_url is not None:
        return serve_outside(service, bound, names, engine, engine_url, documents=documents, abstain=abstain, say=say)
    torch.set_num_threads(machine().cores)
    shelf, models = open_models(names, max_rows=settings.max_rows, documents=documents, abstain=abstain, say=say)
    for model in models:
        service.registry.add(model, *aliases_of(model))
    tuning = None
    if settings.max_jobs:
        tuning = make_tuning(service, shelf, runs_root() / ".serving", runs_root().resolve(), say=say)
        tuning.supervisor.start()
        service.more["tuning"] = tuning
    service.more["open"] = lambda run: shelf.run(str(runs_root().resolve() / run))[-1]
    service.engine.start()
    threading.Thread(target=warm_up, args=(service, models, tuning, shelf, say), name="luthier-warm-up", daemon=True).start()
    return Served(service, app.build_app(service, (routes.router,) if tuning else ()), bound, shelf, tuning)


def serve_outside(service: Service, bound: socket.socket, names: list[str], engine: str | None, url: str | None, *, documents: str | None, abstain: float | None, say: Say) -> Served:
    """The same door and routes before an engine in another process; it is ready when that answers and has been looked at closely."""
    if engine is None or abstain is not None:
        what = "--engine-url needs --engine: vllm or llamacpp" if engine is None else "--abstain needs likelihoods of labels, which an engine in another process is not asked for"
        raise RecipeError(what, code="R189", field="--engine", hint="luthier serve RUN --engine vllm --engine-url http://127.0.0.1:8001")
    from luthier.verbs.outside import open_outside

    watched, models = open_outside(names, engine, url, max_rows=service.settings.max_rows, log_file=runs_root() / ".serving" / f"{engine}.log", say=say)
    lead = None if documents is None else lead_with(RetrievalSettings(documents=documents))
    for model in models:
        model.lead = lead
        service.registry.add(model, *aliases_of(model))
    service.engine.start()
    watched.start()
    threading.Thread(target=wait_outside, args=(service, watched, say), name="luthier-warm-up", daemon=True).start()
    return Served(service, app.build_app(service), bound, watched=watched)


def wait_outside(service: Service, watched: Watched, say: Say) -> None:
    """Ready when the engine is."""
    try:
        watched.wait(STARTING_SECONDS)
    except LuthierError as error:
        say(Event("warning", error.message, {"code": error.code}))
        return
    service.ready = True
    say(Event("note", "ready"))


def hashed(key: str) -> str:
    import hashlib

    return hashlib.sha256(key.encode()).hexdigest()


def warm_up(service: Service, models: list[Model], tuning: Tuning | None, shelf: Shelf, say: Say) -> None:
    """Let every model answer once; the server is ready when all have, those of finished jobs included."""
    if tuning is not None:
        answer_again(service, shelf, tuning, runs_root().resolve(), say)
    for model in models:
        try:
            answered_once(service, model)
        except Exception as error:
            say(Event("warning", f"{model.id} does not answer: {error}", {"code": "E124"}))
            return
    service.ready = True
    say(Event("note", "ready"))


def answered_once(service: Service, model: Model, *, tell: Callable | None = None) -> None:
    """One short answer, or one text read; raises what goes wrong."""
    over, failed = threading.Event(), []

    def told(event: tuple) -> None:
        if event[0] == "error":
            failed.append(event[1])
        elif event[0] == "over":
            over.set()

    if model.writes and not model.rewrites:
        prompt = model.renderer.text("Hello")[:1] or [0]
        ask = Ask(model, "warm-up", told, seats=[Seat(list(prompt), 2, Writer(model.view.tokenizer, prompt, (), None), adapter=model.place)], cost=3)
    else:
        ask = Ask(model, "warm-up", told, work=lambda view: model.task.predict(view, model.renderer, ["Hello"]))
    service.engine.submit(ask)
    if not over.wait(timeout=300):
        raise LuthierError(f"{model.id} did not answer within 300 s", code="E124")
    if failed:
        raise failed[0]
