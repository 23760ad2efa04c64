"""What this machine has for Luthier, and what is missing: nothing is loaded, downloaded or sent, and no secret is shown."""

import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

import luthier
from luthier.errors import LuthierError
from luthier.files import free_bytes
from luthier.runs.folder import runs_root

PACKAGES = "torch transformers peft accelerate datasets safetensors tokenizers pydantic scikit-learn numpy pyarrow jinja2".split()
SPRUCE = Path(__file__).resolve().parents[1] / "models" / "spruce"
SPRUCE_FILES = ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors")
NEEDED_MEMORY, NEEDED_DISK = 2_000_000_000, 1_000_000_000
"""Bytes that `luthier demo` wants free, generously."""


@dataclass
class Diagnosis:
    """The state of the machine."""

    ok: bool
    """Whether `luthier demo` can run."""
    verdict: str
    """One sentence."""
    device: dict
    """kind (cuda, mps, cpu), name, memory in bytes where it is its own."""
    cpu: dict
    """name, cores that may be used, bf16 and amx as yes or no."""
    memory: dict
    """Bytes: total, available."""
    disk: dict
    """folder, free in bytes, writable."""
    packages: dict[str, str | None]
    """Name -> version, None where it is not installed."""
    hub: dict
    """token (where one was found, never its value), offline."""
    spruce: dict
    """The base that ships: present, bytes, missing files."""
    versions: dict
    """luthier, python, system."""
    problems: list[dict] = field(default_factory=list)
    """Findings without a place: code, level, message, hint."""

    def to_dict(self) -> dict:
        return asdict(self)


def doctor() -> Diagnosis:
    """Look at the machine; costs the import of torch."""
    packages = {name: _version(name) for name in PACKAGES}
    spruce, disk, memory, cpu = _spruce(), _disk(), _memory(), _cpu()
    device = _device(packages["torch"], cpu)
    problems = [*_missing(packages), *_scarce(memory, disk), *_no_spruce(spruce)]
    ok = not any(problem["level"] == "error" for problem in problems)
    return Diagnosis(
        ok=ok, verdict=_verdict(ok, problems, device, cpu, memory), device=device, cpu=cpu, memory=memory, disk=disk, packages=packages,
        hub=_hub(), spruce=spruce, problems=problems,
        versions={"luthier": luthier.__version__, "python": platform.python_version(), "system": f"{platform.system()} {platform.release()} {platform.machine()}"},
    )  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device(torch_version: str | None, cpu: dict) -> dict:
    """The fastest device that torch sees."""
    if torch_version is None:
        return {"kind": "none", "name": "torch is not installed", "memory": None}
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return {"kind": "cuda", "name": properties.name, "memory": properties.total_memory, "count": torch.cuda.device_count()}
    if torch.backends.mps.is_available():
        return {"kind": "mps", "name": "Apple GPU", "memory": None}
    return {"kind": "cpu", "name": cpu["name"], "memory": None}


def _cpu() -> dict:
    info = _read("/proc/cpuinfo")
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name = facts.get("model name") or platform.processor() or platform.machine()
    return {"name": name, "cores": cores, "amx": "amx_tile" in flags, "bf16": bool(flags & {"amx_bf16", "avx512_bf16", "bf16"})}


def _memory() -> dict:
    """Total and available bytes; a container's limit counts where it is lower."""
    rows = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    sizes = {name: int(value.split()[0]) * 1024 for name, value in rows.items() if value.split()}
    total = sizes.get("MemTotal") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available = sizes.get("MemAvailable", total)
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        total, available = min(total, int(limit)), min(available, int(limit) - int(used))
    return {"total": total, "available": available}


def _read(path: str) -> str:
    """A file of the system, or nothing where this system has none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _disk() -> dict:
    folder = runs_root().resolve()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return {"folder": str(folder), "free": free_bytes(there), "writable": os.access(there, os.W_OK)}


def _hub() -> dict:
    """Where a token was found; its value is never read."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface")
    file = Path(os.environ.get("HF_TOKEN_PATH") or home / "token")
    found = next((name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)), None) or ("login" if file.is_file() else None)
    offline = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")]
    return {"token": found, "offline": offline, "cache": os.environ.get("HF_HUB_CACHE") or str(home / "hub")}


def _spruce() -> dict:
    missing = [name for name in SPRUCE_FILES if not (SPRUCE / name).is_file()]
    num_bytes = sum((SPRUCE / name).stat().st_size for name in SPRUCE_FILES if name not in missing)
    return {"present": not missing, "missing": missing, "bytes": num_bytes}


def _missing(packages: dict) -> list[dict]:
    gone = [name for name, version in packages.items() if version is None]
    hint = "install again: `pip install -c constraints.txt .`"
    return [_problem("E110", "error", f"not installed: {', '.join(gone)}", hint)] if gone else []


def _scarce(memory: dict, disk: dict) -> list[dict]:
    found = []
    if memory["available"] < NEEDED_MEMORY:
        found.append(_problem("M110", "warning", f"only {memory['available'] / 1e9:.1f} GB of memory are free", "close other programs"))
    if disk["free"] < NEEDED_DISK:
        hint = "set LUTHIER_RUNS to another folder"
        found.append(_problem("F111", "warning", f"only {disk['free'] / 1e9:.1f} GB of disk are free at {disk['folder']}", hint))
    if not disk["writable"]:
        found.append(_problem("F112", "error", f"runs cannot be written to {disk['folder']}", "go to a folder of yours, or set LUTHIER_RUNS"))
    return found


def _no_spruce(spruce: dict) -> list[dict]:
    if spruce["present"]:
        return []
    return [_problem("F113", "error", f"the base that ships is incomplete: {', '.join(spruce['missing'])} missing", "install again, or name another `model`")]


def _problem(code: str, level: str, message: str, hint: str) -> dict:
    return {**LuthierError(message, code=code, hint=hint).to_dict(), "level": level}


def _verdict(ok: bool, problems: list[dict], device: dict, cpu: dict, memory: dict) -> str:
    if not ok:
        return "not ready: " + "; ".join(problem["message"] for problem in problems if problem["level"] == "error")
    free = f"{memory['available'] / 1e9:.1f} GB of memory free"
    if device["kind"] == "cpu":
        bf16 = ", bf16 in hardware" if cpu["bf16"] else ""
        return f"ready, on the CPU: {cpu['cores']} cores{bf16}, {free}"
    return f"ready, on {device['name']}: {free}"
