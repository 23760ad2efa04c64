"""How many operations a second this machine really makes, measured for a fraction of a second: the clock of a plan."""
import time

import torch

SECONDS = 0.15
REACHED = 0.5
"""Share of the bare matrix product's rate that a whole training step of a small network reaches, measured on spruce (see dev/log.md)."""


def operations_per_second(width: int, *, bf16: bool, device: str) -> float:
    """Multiplications and additions a second of matrix products as wide as the network's, times the share that a training step reaches."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    left = torch.ones(2048, width, dtype=dtype, device=device)
    right = torch.ones(width, 3 * width, dtype=dtype, device=device)
    left @ right
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < SECONDS:
        (left @ right).sum().item()
        count += 1
    return REACHED * count * 2 * 2048 * width * 3 * width / elapsed
