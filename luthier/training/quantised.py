"""AdamW with its two moments in 8 bits, each block of 256 with a constant of its own (Dettmers et al., arXiv:2110.02861), or in memory from which a GPU may push them out
for a while (paged; arXiv:2305.14314), by bitsandbytes.

The arithmetic stays in float32: moments are widened, updated and rounded again. Moments of embeddings and of tensors below 4,096 weights stay in float32, as the paper has it.
8 bits work on any device, slower than PyTorch's own on a CPU; paging needs a CUDA device.
"""
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from luthier.errors import RecipeError
from luthier.training.optimizer import groups_of

KINDS = {"adamw_8bit": (8, False), "paged_adamw": (32, True), "paged_adamw_8bit": (8, True)}
"""Bits of a moment, and whether it may be pushed out."""
BLOCK = 256
SMALL = 4096
"""Tensors of fewer weights keep moments in float32: there is little to save and more to lose."""
CONSTANT = ("qmap1", "qmap2")
"""The values that 8 bits stand for: the same for all, and not saved."""


def ready(name: str) -> None:
    """RecipeError where an optimizer cannot be had here: asked before anything is read."""
    if name not in KINDS:
        return
    library(name)
    if KINDS[name][1] and not torch.cuda.is_available():
        raise RecipeError(
            f"training.optimizer={name} pages moments between a GPU and main memory, and there is no CUDA device here", code="R202", field="training.optimizer",
            hint="adamw_8bit keeps moments small on any device; adamw is the default",
        )


def library(name: str):
    """bitsandbytes, or the sentence that says how to get it."""
    try:
        import bitsandbytes
    except ImportError:
        raise RecipeError(f"training.optimizer={name} needs bitsandbytes", code="R173", field="training.optimizer", hint="pip install -c constraints.txt '.[quant]', or leave it at adamw") from None
    return bitsandbytes


def embeddings(network: nn.Module) -> set[int]:
    """Ids of the weights whose moments stay in float32: those of embeddings, output layers that are one with them included."""
    return {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}


def is_small(tensor: Tensor, exact: Collection[int]) -> bool:
    return tensor.numel() < SMALL or id(tensor) in exact


def make(
    name: str, parameters: Mapping[str, Tensor], *, exact: Collection[int], weight_decay: float, beta1: float, beta2: float, epsilon: float, multiples: Mapping[str, float],
) -> torch.optim.Optimizer:
    """The optimizer over named parameters, in groups as `optimizer.adamw` makes them; the moments of weights whose id is in `exact` stay in float32."""
    bits, paged = KINDS[name]

    class Blockwise(library(name).optim.AdamW):
        def get_config(self, gindex: int, pindex: int, group: dict) -> dict:
            found = super().get_config(gindex, pindex, group)
            return {**found, "optim_bits": 32} if id(group["params"][pindex]) in exact else found

    return Blockwise(groups_of(parameters, weight_decay, multiples), lr=0.0, betas=(beta1, beta2), eps=epsilon, optim_bits=bits, min_8bit_size=SMALL, is_paged=paged)


def state_tensors(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The optimizer's state as named tensors: `<parameter>/<entry>`."""
    return {
        f"{name}/{entry}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, tensor in parameters.items() for entry, value in optimizer.state.get(tensor, {}).items() if entry not in CONSTANT
    }


def load_state(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Put named state tensors back, exactly, into state that the optimizer makes itself: pages are its own."""
    places = {id(tensor): (group, at, number) for number, group in enumerate(optimizer.param_groups) for at, tensor in enumerate(group["params"])}
    for key, value in tensors.items():
        name, entry = key.rsplit("/", 1)
        tensor = parameters[name]
        if not optimizer.state[tensor]:
            group, at, number = places[id(tensor)]
            optimizer.init_state(group, tensor, number, at)
        if entry == "step":
            optimizer.state[tensor][entry] = int(value)
        else:
            optimizer.state[tensor][entry].copy_(value)


def state_bytes(name: str, network: nn.Module) -> int:
    """Bytes of the moments of what learns, of shapes without storage too."""
    exact, total = embeddings(network), 0
    for tensor in network.parameters():
        if tensor.requires_grad:
            blocks = -(-tensor.numel() // BLOCK)
            total += 8 * tensor.numel() if KINDS.get(name, (32,))[0] == 32 or is_small(tensor, exact) else 2 * tensor.numel() + 8 * blocks
    return total
