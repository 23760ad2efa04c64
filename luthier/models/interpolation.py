"""Networks on the line between two of one shape: theta = (1 - share) * start + share * end (Wortsman et al. 2022, arXiv:2109.01903)."""
import torch
from torch import Tensor, nn

from luthier.errors import CheckpointError


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights by name, in float32."""
    return {name: tensor.detach().float().clone() for name, tensor in network.named_parameters()}


@torch.no_grad()
def between(network: nn.Module, start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> None:
    """Set the network's weights to the point `share` of the way from start to end; 0 and 1 are the two to the bit."""
    parameters = dict(network.named_parameters())
    if set(start) != set(end) or set(parameters) != set(start) or any(start[name].shape != end[name].shape for name in start):
        raise CheckpointError("the two networks do not have the same weights, so there is no line between them", code="C124", hint="mix a base with what was tuned from it")
    for name, tensor in parameters.items():
        tensor.copy_(start[name] if share == 0 else end[name] if share == 1 else torch.lerp(start[name], end[name], share))
