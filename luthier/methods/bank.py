"""Many adapters beside one frozen base: each row of a batch names its own, of whichever kind, and all rows run in one pass.

The tensors of all adapters of a layer and a kind lie in one stack (`stacks/`); those of the rows at hand are gathered once for as long as the same
rows stay.
"""
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from luthier.errors import CheckpointError, RecipeError
from luthier.files import resolve
from luthier.methods import adapters
from luthier.methods.stacks import STACKS
from luthier.methods.stacks.stack import Misfit, Stack
from luthier.models.heads import body_of, transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.weights import read_tensors

BASE = 0
"""The place of the base itself: no adapter."""


@dataclass
class Kept:
    """An adapter in the bank."""

    place: int
    """Its place in every stack; a replaced adapter gets a new one, so running rows keep theirs."""
    folder: Path
    whole: dict[str, Tensor] = field(default_factory=dict)
    """Modules that were saved whole (a head), by their name in the network."""


class Bank:
    """The adapters of one base. `choose` says which row runs with which; without it the base runs as it is. Used by one thread at a time."""

    def __init__(self, language_model: LanguageModel):
        self.language_model = language_model
        self.body = body_of(language_model.network)
        self.layers = {name: module for name, module in self.body.named_modules() if isinstance(module, (nn.Linear, Conv1D))}
        self.prefix = f"{transformer_of(language_model.network).base_model_prefix}."
        """Of the body's modules in a full name."""
        self.stacks: dict[tuple, Stack] = {}
        """By layer, kind and variant."""
        self.kept: dict[int, Kept] = {}
        self._free: list[int] = []
        self._rows: tuple[int, ...] = ()
        self._active = False

    # ---- adapters -------------------------------------------------------------------------------
    def add(self, folder: Path) -> int:
        """Read a saved adapter and give it a place. What cannot share a base with others is a RecipeError (R180); a damaged or foreign one a CheckpointError."""
        folder = Path(folder)
        kind = adapters.kind_of(folder)
        if kind not in STACKS:
            raise unshared(folder, f"is of the kind {kind[:40]}")
        config = adapters.read_config(folder, kind)
        adapters.check_origin(folder, self.language_model)
        if (special := STACKS[kind].refusal(config)) is not None:
            raise unshared(folder, f"uses {special}")
        parts, whole = self.sorted_out(folder, STACKS[kind], read_tensors([resolve(folder, adapters.TENSORS)]))
        found = {layer: self.read(STACKS[kind], layer, halves, config, folder) for layer, halves in parts.items()}
        place = self._free.pop() if self._free else max(self.kept, default=BASE) + 1
        for layer, (variant, tensors) in found.items():
            self.stack(layer, kind, variant).put(place, tensors)
        self.kept[place] = Kept(place, folder, whole)
        self.forget()
        return place

    def remove(self, place: int) -> None:
        """Free a place. The caller sees to it that no row runs there."""
        del self.kept[place]
        for stack in self.stacks.values():
            stack.drop(place)
        self._free.append(place)
        self.forget()

    def sorted_out(self, folder: Path, kind: type[Stack], tensors: dict[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
        """Parts of the adapter by layer, and tensors saved whole; a layer that the base lacks is a CheckpointError."""
        prefix = f"base_model.model.{self.prefix}"
        parts: dict[str, dict[str, Tensor]] = {}
        whole = {}
        for name, tensor in tensors.items():
            layer, found, half = name.removeprefix(prefix).rpartition(kind.mark)
            if found and name.startswith(prefix) and layer in self.layers and half in kind.halves:
                parts.setdefault(layer, {})[half] = tensor.float().to(self.language_model.device)
            elif found:
                raise CheckpointError(f"the adapter in {folder} changes {name}, which this base does not have", code="C121", file=str(folder), hint="load it on the base it was trained on")
            else:
                whole[name.removeprefix("base_model.model.")] = tensor
        return parts, whole

    def read(self, kind: type[Stack], layer: str, halves: dict[str, Tensor], config, folder: Path) -> tuple[tuple, dict[str, Tensor]]:
        """Variant and tensors of one layer; what is missing or has another shape is a CheckpointError."""
        try:
            if set(halves) != kind.halves:
                raise Misfit(layer)
            return kind.read(self.layers[layer], halves, config, self.prefix + layer)
        except Misfit:
            raise CheckpointError(f"the adapter in {folder} does not fit this base at {layer}", code="C121", file=str(folder), hint="load it on the base it was trained on") from None

    def stack(self, layer: str, kind: str, variant: tuple) -> Stack:
        """The stack of a layer; the layer is watched from its first adapter of a kind and variant on."""
        key = (layer, kind, variant)
        if key not in self.stacks:
            self.stacks[key] = STACKS[kind](variant)
            self.stacks[key].watch(self.layers[layer], lambda name: self.body.get_submodule(name.removeprefix(self.prefix)), lambda: self._active)
        return self.stacks[key]

    # ---- passes ---------------------------------------------------------------------------------
    @contextlib.contextmanager
    def choose(self, places: Sequence[int]) -> Iterator[None]:
        """For as long as the context lasts, row i runs with the adapter at places[i]; one place alone holds for any number of rows."""
        rows = tuple(places)
        if rows != self._rows:
            for stack in self.stacks.values():
                stack.seat(rows)
            self._rows = rows
        self._active = any(place != BASE for place in rows)
        try:
            yield
        finally:
            self._active = False

    def forget(self) -> None:
        """Drop what was gathered for the rows at hand."""
        self._rows = ()
        for stack in self.stacks.values():
            stack.seat(())


def unshared(folder: Path, why: str) -> RecipeError:
    """What cannot be mixed row by row needs a base of its own."""
    return RecipeError(f"the adapter in {folder} {why} and cannot share a base with others", code="R180", file=str(folder), hint="it is served on a base of its own")
