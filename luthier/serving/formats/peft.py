"""The adapter alone, in PEFT's layout: a few megabytes that need their base."""
import shutil
from pathlib import Path
from typing import ClassVar

from luthier.errors import RecipeError
from luthier.files import MANIFEST, listing
from luthier.models.load import load
from luthier.models.tokenizer import load_tokenizer
from luthier.serving.formats.format import Source


class Peft:
    precisions: ClassVar[tuple[str, ...]] = ("f32",)

    def write(self, source: Source, folder: Path, precision: str) -> None:
        if not (source.folder / "adapter_config.json").exists():
            raise RecipeError(f"{source.name} has no adapter in PEFT's layout", code="X110", hint="export it merged")
        for name in listing(source.folder):
            if name != MANIFEST:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source.folder / name, target)

    def open(self, source: Source, folder: Path, precision: str):
        like = source.language_model
        kept = next(like.network.parameters()).dtype
        found = load(str(like.folder), head=like.head.kind, labels=list(like.labels) or None, dtype=kept, autocast=like.head.autocast)
        found.network = source.method.load(found, folder).eval()
        found.tokenizer, found.template, _ = load_tokenizer(folder, folder, found.network.config)
        return found
