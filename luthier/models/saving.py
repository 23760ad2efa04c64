"""Save whole models and their tokenizers in the ecosystem's folder layout, into a folder that the caller makes durable."""
import json
from pathlib import Path

import torch
from torch import nn

from luthier.errors import NonFinite
from luthier.models.heads import transformer_of
from luthier.models.language_model import LanguageModel


def save_network(network: nn.Module, language_model: LanguageModel, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write config.json, generation_config.json, model.safetensors and the tokenizer. Weights that are not finite are never written (NonFinite)."""
    refuse_non_finite(network)
    transformer = transformer_of(network)
    tensors = None if dtype is None else {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in transformer.state_dict().items()}
    before = transformer.config.dtype
    transformer.config.dtype = dtype or transformer.dtype
    transformer.save_pretrained(folder, state_dict=tensors)
    transformer.config.dtype = before
    save_tokenizer(language_model, folder)


def save_tokenizer(language_model: LanguageModel, folder: Path) -> None:
    """Write the tokenizer and, where there is one, chat_template.jinja."""
    language_model.tokenizer.save_pretrained(folder)
    if language_model.template is not None:
        (folder / "chat_template.jinja").write_text(language_model.template, encoding="utf-8")


def refuse_non_finite(network: nn.Module) -> None:
    """NonFinite when any trainable weight is NaN or infinite."""
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and not torch.isfinite(parameter).all():
            raise NonFinite(f"the weight {name} is not finite; nothing is saved", code="T103", hint="go back to the last good checkpoint with a smaller learning rate")


def write_side_file(folder: Path, name: str, value: dict) -> None:
    """A small JSON file of our own beside the ecosystem's files."""
    (folder / name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
