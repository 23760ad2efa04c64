"""AdamW (Loshchilov and Hutter, arXiv:1711.05101) over the trainable tensors, and gradients made one: scaled, measured, clipped."""
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn


def adamw(
    parameters: dict[str, Tensor], *, weight_decay: float, beta1: float, beta2: float, epsilon: float, multiples: Mapping[str, float] = MappingProxyType({}),
) -> torch.optim.AdamW:
    """AdamW over named parameters, in groups as `groups_of` makes them. The learning rate is set at every step."""
    return torch.optim.AdamW(groups_of(parameters, weight_decay, multiples), lr=0.0, betas=(beta1, beta2), eps=epsilon, fused=True)


def groups_of(parameters: Mapping[str, Tensor], weight_decay: float, multiples: Mapping[str, float]) -> list[dict]:
    """Parameters that decay and learn alike: matrices decay, vectors (norms, biases) do not; one named in `multiples` learns at that many times the rate."""
    groups: dict[tuple[bool, float], dict] = {}
    for name, tensor in parameters.items():
        matrix, multiple = tensor.ndim >= 2, multiples.get(name, 1.0)
        group = groups.setdefault((matrix, multiple), {"params": [], "weight_decay": weight_decay if matrix else 0.0, "multiple": multiple})
        group["params"].append(tensor)
    return list(groups.values())


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the moment, each group at its multiple of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["multiple"]


def state_tensors(optimizer: torch.optim.Optimizer, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """The optimizer's state as named tensors: `<parameter>/<entry>`."""
    state = optimizer.state
    return {f"{name}/{entry}": value for name, tensor in parameters.items() for entry, value in state.get(tensor, {}).items()}


def load_state(optimizer: torch.optim.Optimizer, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    """Put named state tensors back, exactly; names that fit no parameter are a KeyError."""
    for key, value in tensors.items():
        name, entry = key.rsplit("/", 1)
        optimizer.state[parameters[name]][entry] = value.clone()


def gradients_of(network: nn.Module) -> list[Tensor]:
    return [tensor.grad for tensor in network.parameters() if tensor.grad is not None]


def average(gradients: list[Tensor], count: float) -> None:
    """Divide summed gradients by what they were summed over."""
    torch._foreach_div_(gradients, count)


def norm_of(gradients: list[Tensor]) -> float:
    """The global 2-norm, in fp32; NaN or infinity stays visible."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient.float()) for gradient in gradients])).item()


def clip(gradients: list[Tensor], norm: float, most: float) -> None:
    """Scale gradients so that their global norm is at most `most`."""
    if most > 0 and norm > most:
        torch._foreach_mul_(gradients, most / norm)
