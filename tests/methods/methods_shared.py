"""What tests of methods share: a network that a method has changed as training would."""
import torch
from tests_shared import logits

from luthier.models.load import load


def nudge(method, network, seed=0):
    """Move every trainable weight, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.trainable(network).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def trained(method, folder, **how):
    """A base, the network a method made of it after a change, and the logits of both."""
    torch.manual_seed(0)
    language_model = load(str(folder), **how)
    before = logits(language_model.network)
    network = method.apply(language_model)
    language_model.network = network
    nudge(method, network)
    return language_model, network, before
