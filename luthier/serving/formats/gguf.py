"""One GGUF file: llama.cpp and what stands on it."""
from pathlib import Path
from typing import ClassVar

from luthier.models.gguf import read_gguf, refuse_unproven, write_gguf
from luthier.serving.formats.format import Source, needs


class Gguf:
    precisions: ClassVar[tuple[str, ...]] = ("f16", "f32", "bf16", "q8_0", "q4_0")

    def path(self, folder: Path, precision: str) -> Path:
        return folder / f"model-{precision}.gguf"

    def write(self, source: Source, folder: Path, precision: str) -> None:
        needs("gguf")
        refuse_unproven(source.language_model)
        write_gguf(source.plain(), source.language_model, self.path(folder, precision), precision=precision, name=source.name)

    def open(self, source: Source, folder: Path, precision: str):
        return read_gguf(self.path(folder, precision), source.language_model)
