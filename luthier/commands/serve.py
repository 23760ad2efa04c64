"""`luthier serve`: tuned models behind an OpenAI-compatible API."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from luthier.commands.screen import Screen
from luthier.errors import RecipeError

EXAMPLES = """\
$ luthier serve last                      chat page and API on this machine
$ luthier serve shop tickets --port 9000
$ luthier serve last --host 0.0.0.0 --keys keys.json
$ luthier serve last --engine vllm        the same API before vLLM"""

LOOKS = "2000"
"""How often a thread that waits for the others of a matrix product looks again before it sleeps: about 0.1 ms, which bridges the gap to the next one.

By itself the library looks for some 12 ms, and takes the core from what reads requests and sends tokens.
"""


@contextlib.contextmanager
def short_waits() -> Iterator[None]:
    """What is loaded inside waits so; programs started later find the environment as it was. What the user has set stays."""
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = LOOKS
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def run(
    screen: Screen,
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN|MODEL [...]", help="Runs (name, start of the name, `last`, folder) or bases.")] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; beyond this machine a key is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="The next free port is taken where this one is not.")] = 8000,
    keys: Annotated[Path | None, typer.Option(metavar="FILE", help="Keys that may come in (`luthier keys new`); LUTHIER_API_KEY sets a single one.")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A name by which the server is reached; may be repeated.")] = None,
    documents: Annotated[str | None, typer.Option(metavar="FILE|FOLDER", help="Passages of these are laid before every question of a chat, and cited.")] = None,
    abstain: Annotated[float | None, typer.Option(metavar="RISK", help="Give a label only where at most this share of the labels given is wrong, such as 0.1.")] = None,
    engine: Annotated[str | None, typer.Option(metavar="NAME", help="vllm or llamacpp: write the texts there, in a process of its own, behind this API.")] = None,
    engine_url: Annotated[str | None, typer.Option(metavar="URL", help="The address of one that runs already; LUTHIER_ENGINE_KEY holds its key.")] = None,
    rows: Annotated[int, typer.Option(metavar="N", min=1, max=1024, help="Texts that each base writes at once.")] = 16,
    cache: Annotated[int, typer.Option(metavar="MIB", min=16, help="Memory for keys and values of running texts.")] = 1024,
    waiting: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Requests that may wait; one more gets 429.")] = 64,
    jobs: Annotated[int, typer.Option(metavar="N", min=0, max=64, help="Fine-tuning jobs at once; 0 serves without the fine-tuning API.")] = 1,
    drain: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="For what is at hand when told to end.")] = 30.0,
    metrics_prefix: Annotated[str, typer.Option(metavar="WORD", help="Of the figures at /metrics; `vllm:` fits vLLM's dashboards.")] = "luthier_",
) -> None:
    """Serve tuned models behind an OpenAI-compatible API.

    Adapters of one base share it and are mixed in one batch. A chat page stands at `/`. Ctrl-C lets what is at hand finish.
    """
    if not runs:
        raise RecipeError("nothing to serve", code="R142", hint="name a run or a base: `luthier serve last`")
    with short_waits():
        from luthier.verbs.serve import ServerSettings, serve

    settings = ServerSettings(host=host, port=port, allowed_hosts=list(allow_host or ()), max_rows=rows, cache_megabytes=cache, max_waiting=waiting, max_jobs=jobs, drain_seconds=drain)
    served = serve(list(runs), settings, keys_file=keys, api_key=os.environ.get("LUTHIER_API_KEY"), documents=documents, abstain=abstain, engine=engine, engine_url=engine_url, metrics_prefix=metrics_prefix, say=screen.say)
    screen.finish({"address": served.address, "models": served.models}, draw)
    served.run()


def draw(screen: Screen, result: dict) -> None:
    screen.line((result["address"], "next"), "  chat page and API; base_url of clients is ", f"{result['address']}/v1")
    screen.line("models: ", ", ".join(result["models"]))
