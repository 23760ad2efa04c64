"""Which base to begin with: a short list in catalogue.yaml, and a choice by task, hardware and network that says why."""
import functools
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from luthier.settings import parse_yaml

FILE = Path(__file__).with_name("catalogue.yaml")
HOST, SECONDS = "huggingface.co", 1.5
LARGEST_ON_CPU = {"encoder": 70e6, "encoder_decoder": 80e6, "decoder": 200e6}
"""Parameters of what trains in hours and not in days without a GPU."""
BYTES = {"full": 16.0, "lora": 2.4, "qlora": 0.75}
"""Bytes a parameter while training: weights, gradients and two moments in fp32; or frozen weights in bf16 or 4 bits with what is learned beside them."""
OVERHEAD = 2.5e9
"""Activations, loss and libraries of a usual micro-batch."""


@dataclass(frozen=True)
class Entry:
    """One base of the catalogue."""

    name: str
    """Its hub id."""
    kind: str
    """decoder, encoder or encoder_decoder."""
    parameters: int
    """How many."""
    context: int
    """The longest sequence, in tokens."""
    licence: str
    """As the hub names it."""
    languages: tuple[str, ...]
    """Codes, or multilingual."""
    tasks: tuple[str, ...]
    """What it is a sensible start for, the first choice of kind for a task standing first in the file."""
    gated: bool = False
    """Whether terms must be accepted first."""

    def memory(self, method: str) -> float:
        """Bytes that training by full, lora or qlora takes, roughly."""
        return BYTES[method] * self.parameters + OVERHEAD


@functools.cache
def entries() -> tuple[Entry, ...]:
    """The catalogue."""
    rows = parse_yaml(FILE.read_text(encoding="utf-8"), str(FILE))["bases"]
    return tuple(Entry(**{**row, "languages": tuple(row["languages"]), "tasks": tuple(row["tasks"])}) for row in rows)


def hub_reachable() -> bool:
    """Whether the hub answers; never asked where HF_HUB_OFFLINE is set. Opens a connection and sends nothing."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return False
    answered = threading.Event()

    def knock() -> None:
        try:
            socket.create_connection((HOST, 443), timeout=SECONDS).close()
            answered.set()
        except OSError:
            pass

    threading.Thread(target=knock, daemon=True).start()  # looking a name up knows no timeout of its own
    return answered.wait(SECONDS)


def cached(name: str) -> bool:
    """Whether a hub model lies in the shared cache, so that it can be used without a network."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / ("models--" + name.replace("/", "--")) / "snapshots"
    return any(folder.glob("*/*.safetensors")) if folder.is_dir() else False


def choose(
    task: str, *, accelerator: bool, memory_free: float, reachable: Callable[[], bool] = hub_reachable, lies_here: Callable[[str], bool] = cached,
) -> tuple[str, str]:
    """The base to begin with for a task, trained by LoRA, and why. Offline only what lies in the cache is taken, else `spruce`."""
    suited = [entry for entry in entries() if task in entry.tasks and not entry.gated and fits(entry, accelerator, memory_free)]
    best = max(suited, key=lambda entry: entry.parameters, default=None)
    if best is not None and (lies_here(best.name) or reachable()):
        return best.name, f"model {best.name}: {reason(best, task, accelerator)}; {other_names(suited, best)}change it with model=NAME"
    here = [entry for entry in suited if lies_here(entry.name)]
    if here:
        best = max(here, key=lambda entry: entry.parameters)
        return best.name, f"model {best.name}: the hub cannot be reached, and of the bases in the cache this suits best ({reason(best, task, accelerator)})"
    if best is None:
        where = "on the GPU" if accelerator else "without a GPU"
        return "spruce", f"model spruce: no base of the catalogue for {task} can be trained {where} in {memory_free / 1e9:.1f} GB of free memory"
    return "spruce", f"model spruce: the hub cannot be reached and no suitable base lies in the cache; with a network it would be {best.name}"


def fits(entry: Entry, accelerator: bool, memory_free: float) -> bool:
    """Whether LoRA on it fits into the memory, and without a GPU ends within hours."""
    return entry.memory("lora") <= 0.9 * memory_free and (accelerator or entry.parameters <= LARGEST_ON_CPU[entry.kind])


def reason(entry: Entry, task: str, accelerator: bool) -> str:
    """Why this one."""
    where = "fits the GPU" if accelerator else "trains in hours without a GPU"
    return f"the largest for {task} that {where} ({entry.parameters / 1e6:,.0f} M parameters, {entry.licence}, context {entry.context:,})"


def other_names(suited: list[Entry], best: Entry) -> str:
    """The next smaller ones, for who wants less."""
    smaller = [entry.name for entry in suited if entry is not best][-2:]
    return f"smaller: {', '.join(smaller)}; " if smaller else ""
