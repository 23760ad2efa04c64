"""An ONNX file beside its tokenizer: encoders for ONNX Runtime."""
from pathlib import Path
from typing import ClassVar

from luthier.models.onnx import FILE, RuntimeNetwork, write_onnx
from luthier.models.saving import save_tokenizer
from luthier.models.tokenizer import load_tokenizer
from luthier.serving.formats.format import Source, needs


class Onnx:
    precisions: ClassVar[tuple[str, ...]] = ("f32",)

    def write(self, source: Source, folder: Path, precision: str) -> None:
        needs("onnx", "onnxscript", "onnxruntime")
        network = source.plain()
        write_onnx(network, source.language_model, folder / FILE)
        save_tokenizer(source.language_model, folder)
        network.config.save_pretrained(folder)

    def open(self, source: Source, folder: Path, precision: str):
        found = source.with_network(RuntimeNetwork(folder / FILE))
        found.tokenizer, found.template, _ = load_tokenizer(folder, folder)
        return found
