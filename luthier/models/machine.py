"""What this machine can do, as the choice of types, threads and plans needs it."""
import functools
import os
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Machine:
    """Facts that hold for the life of the process, and the memory that was free when they were read."""

    device: str
    """cuda, mps or cpu: where networks run."""
    accelerator: bool
    """Whether there is a GPU."""
    accelerator_name: str
    """The GPU's name; empty without one."""
    cores: int
    """Physical cores that this process may use."""
    bf16: bool
    """Whether matrix products in bf16 run in hardware."""
    amx: bool
    """Whether the CPU has matrix tiles."""
    memory_total: int
    """Bytes of memory that this process may have: the machine's or its container's."""
    memory_free: int
    """Bytes free for this process."""
    accelerator_total: int
    """Bytes of the GPU's memory; 0 without one."""
    accelerator_free: int
    """Bytes free on the GPU; 0 without one."""


def machine() -> Machine:
    """Look at the machine; memory is read anew at each call."""
    device, name, total, free = accelerator()
    memory_total, memory_free = memory()
    bf16, amx = cpu_units()
    if device == "cuda":
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "mps":
        bf16 = False
    return Machine(
        device=device, accelerator=device != "cpu", accelerator_name=name, cores=cores(), bf16=bf16, amx=amx,
        memory_total=memory_total, memory_free=memory_free, accelerator_total=total, accelerator_free=free,
    )


def accelerator() -> tuple[str, str, int, int]:
    """Device, name, total and free bytes of the GPU; "cpu" without one."""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(0)
        return "cuda", torch.cuda.get_device_name(0), total, free
    if torch.backends.mps.is_available():
        return "mps", "Apple GPU", *memory()
    return "cpu", "", 0, 0


@functools.cache
def cpu_units() -> tuple[bool, bool]:
    """Whether the CPU multiplies bf16 in hardware, and whether it has matrix tiles."""
    capabilities = torch.cpu.get_capabilities()
    amx = bool(capabilities.get("amx_bf16", False))
    return amx or bool(capabilities.get("avx512_bf16", False)) or bool(capabilities.get("bf16", False)), amx


@functools.cache
def cores() -> int:
    """Physical cores that this process may use: twins of one core count once, a container's quota counts."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    twins = {read(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list") or str(number) for number in allowed}
    quota = read("/sys/fs/cgroup/cpu.max").split()
    limit = int(quota[0]) / int(quota[1]) if len(quota) == 2 and quota[0].isdigit() else len(twins)
    return max(1, min(len(twins), round(limit)))


def memory() -> tuple[int, int]:
    """Total and free bytes; a container's limit counts where it is lower."""
    rows = dict(line.split(":", 1) for line in read("/proc/meminfo").splitlines() if ":" in line)
    sizes = {name: int(value.split()[0]) * 1024 for name, value in rows.items() if value.split()}
    total = sizes["MemTotal"] if "MemTotal" in sizes else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = sizes["MemAvailable"] if "MemAvailable" in sizes else total
    limit, used = read("/sys/fs/cgroup/memory.max"), read("/sys/fs/cgroup/memory.current")
    if limit.isdigit() and used.isdigit():
        total, free = min(total, int(limit)), min(free, int(limit) - int(used) + reclaimable())
    return total, free


def reclaimable() -> int:
    """Bytes of file cache that a container's limit counts but gives back under pressure."""
    rows = dict(line.split() for line in read("/sys/fs/cgroup/memory.stat").splitlines() if len(line.split()) == 2)
    return int(rows["inactive_file"]) if "inactive_file" in rows else 0


def read(path: str) -> str:
    """A small file of the system, stripped; empty where this system has none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
