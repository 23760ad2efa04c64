"""A real server on a loopback port, over tiny networks with random weights."""
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from saved_adapters import saved_adapter

from luthier.methods.bank import Bank
from luthier.models.load import load
from luthier.preparation.renderer import Renderer
from luthier.serving import app
from luthier.serving.door import Key
from luthier.serving.hosts import Host, Model
from luthier.serving.service import Service
from luthier.serving.settings import ServerSettings
from luthier.tasks import TASKS

REAL = Path(os.environ.get("LUTHIER_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@pytest.fixture(autouse=True)
def same_threads():
    """`serve` takes all cores for its process; the tests behind it keep what they began with."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@dataclass
class Running:
    """A server in a thread."""

    service: Service
    address: str
    server: app.Server
    thread: threading.Thread

    def client(self, **more):
        import openai

        return openai.OpenAI(base_url=f"{self.address}/v1", api_key="none", max_retries=0, timeout=60, **more)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=20)
        self.service.engine.stop()


def start(models: list[Model], *, settings: ServerSettings | None = None, fixed_keys: tuple[Key, ...] = (), keys_file=None, routers=()) -> Running:
    """Serve models on a free port."""
    settings = settings or ServerSettings(port=0)
    service = app.build_service(settings, fixed_keys=fixed_keys, keys_file=keys_file)
    for model in models:
        service.registry.add(model)
    service.engine.start()
    service.ready = True
    bound = app.listen(settings.host, 0)
    bound.listen(512)
    server = app.make_server(service, app.build_app(service, routers))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    return Running(service, f"http://127.0.0.1:{bound.getsockname()[1]}", server, thread)


def tiny_host(folder, max_rows: int = 16) -> tuple[Host, Renderer]:
    language_model = load(str(folder))
    return Host(language_model, Bank(language_model), max_rows), Renderer(language_model.tokenizer, language_model.template, language_model.context)


def chat_model(name: str, host: Host, renderer: Renderer, **more) -> Model:
    return Model(name, host, renderer, TASKS["chat"]().prepared(labels=[]), facts={"task": "chat", **more.pop("facts", {})}, **more)


@pytest.fixture(scope="session")
def wordy_llama(tiny_model, tmp_path_factory):
    """A tiny Llama of random weights that writes printable letters: every other output row is zero, and one of ninety random numbers is larger."""
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("models") / "wordy"
    shutil.copytree(tiny_model("llama_untied"), folder)
    tokenizer = load(str(folder)).tokenizer
    tensors = load_file(folder / "model.safetensors")
    kept = [number for number in range(len(tokenizer)) if len(text := tokenizer.decode([number])) == 1 and text.isascii() and (text.isalnum() or text == " ")]
    rows = tensors["lm_head.weight"].clone() * 3
    rows[[number for number in range(len(rows)) if number not in [*kept, tokenizer.eos_token_id]]] = 0
    save_file(tensors | {"lm_head.weight": rows}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def adapter_folder(wordy_llama, tmp_path_factory):
    """A function from a number to the folder of an adapter of the tiny Llama."""
    made, root = {}, tmp_path_factory.mktemp("adapters")

    def make(number: int):
        if number not in made:
            made[number] = root / str(number)
            saved_adapter(wordy_llama, made[number], 2 + number % 6, number)
        return made[number]

    return make


@pytest.fixture(scope="module")
def running(wordy_llama, adapter_folder):
    """A server with the tiny Llama as `base`, two adapters `one` and `two` on it."""
    host, renderer = tiny_host(wordy_llama)
    models = [chat_model("base", host, renderer)]
    models += [chat_model(name, host, renderer, place=host.bank.add(adapter_folder(number)), parent="base") for number, name in enumerate(("one", "two"))]
    found = start(models)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def client(running):
    return running.client()


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_model):
    """Runs of a few steps in a folder of their own, each made once: `trained("chat" | "tickets" | "spans" | "full")` gives the run's name."""
    import json

    from luthier.verbs.train import train

    folder = tmp_path_factory.mktemp("trained")
    colours, things = ["red", "blue", "green", "black"], ["violin", "drum", "flute", "harp", "piano"]
    texts = [(f"the {colour} {thing} number {number} please", colour, thing) for number in range(3) for colour in colours for thing in things]
    chats = [{"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": f"the {thing} is {colour}"}]} for text, colour, thing in texts]
    (folder / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats))
    (folder / "tickets.jsonl").write_text("".join(json.dumps({"text": text, "label": colour}) + "\n" for text, colour, _ in texts))
    spans = [{"tokens": text.split(), "ner_tags": ["O", "B-COLOUR", "B-THING", "O", "O", "O"]} for text, _, _ in texts]
    (folder / "spans.jsonl").write_text("".join(json.dumps(row) + "\n" for row in spans))
    (folder / "notes.txt").write_text("The red violin hangs in the window.\n\nThe black drum stands by the door.\n\nThe green harp is sold.\n")
    (folder / "pairs.jsonl").write_text("".join(json.dumps({"document": text, "summary": f"{colour} {thing}"}) + "\n" for text, colour, thing in texts))
    common = {"training.max_steps": 6, "training.evaluate_every": 6, "training.threads": 1, "evaluation.contestants": ["tuned"], "data.validation": 0.2, "data.test": 0.2, "data.min_test_rows": 1}
    kinds = {
        "chat": {"data.train": "chat.jsonl", "task": "chat", "model": "spruce", "evaluation.max_new_tokens": 12}, "full": {"data.train": "chat.jsonl", "task": "chat", "model": "spruce", "method": "full", "evaluation.max_new_tokens": 12},
        "decoder-tickets": {"data.train": "tickets.jsonl", "task": "classification", "model": "spruce"}, "decoder-spans": {"data.train": "spans.jsonl", "task": "token_classification", "model": "spruce"},
        "adapter-tickets": {"data.train": "tickets.jsonl", "task": "classification", "model": "spruce", "method": "adapter"}, "ia3-chat": {"data.train": "chat.jsonl", "task": "chat", "model": "spruce", "method": "ia3", "evaluation.max_new_tokens": 12},
        "adapter-spans": {"data.train": "spans.jsonl", "task": "token_classification", "model": str(tiny_model("bert")), "method": "adapter"},
        "stories": {"data.train": "chat.jsonl", "task": "chat", "model": str(REAL / "models" / "stories260K"), "evaluation.max_new_tokens": 12},
        "summaries": {"data.train": "pairs.jsonl", "task": "seq2seq", "model": str(tiny_model("t5")), "evaluation.max_new_tokens": 12},
        "asked": {"data.train": "pairs.jsonl", "task": {"name": "seq2seq", "instruction": "Which one?"}, "model": "spruce", "evaluation.max_new_tokens": 12},
        "led": {"data.train": "chat.jsonl", "task": "chat", "model": "spruce", "evaluation.max_new_tokens": 12, "retrieval.documents": str(folder / "notes.txt"), "retrieval.passages": 1, "retrieval.words": 8, "retrieval.in_training": True},
        "quantised": {"data.train": "chat.jsonl", "task": "chat", "model": "spruce", "method": "qlora", "evaluation.max_new_tokens": 12},
        "tickets": {"data.train": "tickets.jsonl", "task": "classification", "model": str(tiny_model("bert"))}, "spans": {"data.train": "spans.jsonl", "task": "token_classification", "model": str(tiny_model("bert"))},
    }
    made: dict[str, str] = {}

    def make(kind: str) -> str:
        if kind not in made:
            recipe = {**common, **kinds[kind]}
            recipe["data.train"] = str(folder / recipe["data.train"])
            path = folder / f"{kind}.yaml"
            path.write_text(json.dumps({"model": recipe.pop("model"), "task": recipe.pop("task")}))
            with pytest.MonkeyPatch.context() as patch:  # for this training only: what a session sets, every later test would live in
                patch.setenv("LUTHIER_RUNS", str(folder / "runs"))
                patch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
                made[kind] = str(folder / "runs" / train(path, recipe, name=kind).run)
        return made[kind]

    return make
