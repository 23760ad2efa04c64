"""A Transformers folder of its own: the adapter added to its base, loaded anywhere."""
from pathlib import Path
from typing import ClassVar

import torch

from luthier.models.load import load
from luthier.models.saving import save_network
from luthier.serving.formats.format import Source

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Merged:
    precisions: ClassVar[tuple[str, ...]] = ("f32", "bf16", "f16")

    def write(self, source: Source, folder: Path, precision: str) -> None:
        save_network(source.plain(), source.language_model, folder, dtype=DTYPES[precision])

    def open(self, source: Source, folder: Path, precision: str):
        kind, labels = source.language_model.head.kind, list(source.language_model.labels) or None
        found = load(str(folder), head=kind, labels=labels)
        found.network.eval()
        return found
