"""Adapters with random weights, saved as a run saves them."""
import torch

from luthier.methods.adapter import Adapter
from luthier.methods.ia3 import IA3
from luthier.methods.lora import LoRA
from luthier.models.load import load

KINDS = {
    "lora": lambda size, **settings: LoRA(rank=size, alpha=2.0 * size, **settings), "ia3": lambda size: IA3(), "houlsby": lambda size: Adapter(style="houlsby", width=size),
    "pfeiffer": lambda size: Adapter(width=size, activation="gelu"), "parallel": lambda size: Adapter(style="parallel", width=size, activation="tanh"),
}


def saved_adapter(base, folder, size: int, seed: int, *, kind: str = "lora", head: str | None = None, labels: list[str] | None = None, **settings):
    """An adapter of a rank or width whose weights are random and large enough to be seen, in PEFT's files; returns its logits on a probe."""
    language_model = load(str(base), **({"head": head, "labels": labels} if head else {}))
    method = KINDS[kind](size, **settings)
    network = method.apply(language_model)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in method.trainable(network).items():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = 1 + 0.3 * noise if ".ia3_" in name else 0.1 * noise
    folder.mkdir()
    method.save(network, language_model, folder)
    with torch.inference_mode():
        return network.eval()(input_ids=torch.arange(20, 32)[None]).logits[0]
