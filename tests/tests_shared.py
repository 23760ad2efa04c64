"""What several test files build with: model folders changed in one place, and logits of a fixed input."""
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tiny_models import CONFIGURATIONS, ENCODERS, VOCABULARY

__all__ = ["CONFIGURATIONS", "ENCODERS", "VOCABULARY", "changed", "edit_json", "logits"]


@torch.no_grad()
def logits(network, rows: int = 2, length: int = 12) -> torch.Tensor:
    """Logits on a fixed input."""
    generator = torch.Generator().manual_seed(0)
    return network.eval()(input_ids=torch.randint(7, VOCABULARY, (rows, length), generator=generator)).logits


def edit_json(path: Path, changes: dict) -> None:
    """Set keys of a JSON object in a file; None removes one."""
    value = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: item for name, item in value.items() if item is not None}))


def changed(folder: Path, parent: Path, *, config: dict | None = None, tokenizer: dict | None = None, tensors: Callable | None = None) -> Path:
    """A copy of a model folder with fields of its files or its tensors changed."""
    copy = parent / f"{folder.name}-changed"
    shutil.copytree(folder, copy)
    if config:
        edit_json(copy / "config.json", config)
    if tokenizer:
        edit_json(copy / "tokenizer_config.json", tokenizer)
    if tensors:
        save_file({name: tensor.contiguous() for name, tensor in tensors(load_file(copy / "model.safetensors")).items()}, copy / "model.safetensors", metadata={"format": "pt"})
    return copy
