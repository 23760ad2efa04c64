"""Adapters with random weights, saved as a run saves them."""
import torch

from luthier.methods.lora import LoRA
from luthier.models.load import load


def saved_adapter(base, folder, rank: int, seed: int, **settings):
    """An adapter whose matrices are random and large enough to be seen, in PEFT's files; returns its logits on `probe`."""
    language_model = load(str(base))
    method = LoRA(rank=rank, alpha=2.0 * rank, **settings)
    network = method.apply(language_model)
    generator = torch.Generator().manual_seed(seed)
    for parameter in method.trainable(network).values():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    folder.mkdir()
    method.save(network, language_model, folder)
    with torch.inference_mode():
        return network.eval()(input_ids=torch.arange(20, 32)[None]).logits[0]
