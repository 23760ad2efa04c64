"""Many adapters beside one frozen base: each row of a batch names its own, and all rows run in one pass.

y = W x + s_i B_i A_i x, with i chosen per row. The thin matrices of all adapters of a layer lie in one stack, so that a batch of N different
adapters costs two batched products a layer and not N times two; those of the rows at hand are gathered once for as long as the same rows stay.

B rows, T tokens, R rank, N adapters.
"""
import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from luthier.errors import CheckpointError, RecipeError
from luthier.files import resolve
from luthier.methods import adapters
from luthier.models.heads import body_of, transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.weights import read_tensors

BASE = 0
"""The place of the base itself: no adapter."""


@dataclass
class Stack:
    """The thin matrices of one layer, of all adapters."""

    down: Tensor
    """[N, R, in]"""
    up: Tensor
    """[N, out, R], scaled by alpha / rank"""
    chosen: tuple[Tensor, Tensor] | None = None
    """Those of the rows at hand: [B, R, in] and [B, out, R]; None until a pass asks."""

    def put(self, place: int, down: Tensor, up: Tensor) -> None:
        """Write one adapter; the stack grows in places and in rank as needed, and zeros change nothing."""
        self.grow(place + 1, down.shape[0])
        self.clear(place)
        self.down[place, : down.shape[0]] = down
        self.up[place, :, : up.shape[1]] = up

    def grow(self, places: int, rank: int = 0) -> None:
        """Make room for so many places and such a rank; what is new is zero."""
        old_down, old_up = self.down, self.up
        rank = max(rank, old_down.shape[1])
        if places > old_down.shape[0]:
            places = max(places, 2 * old_down.shape[0])
        elif rank == old_down.shape[1]:
            return
        else:
            places = old_down.shape[0]
        self.down, self.up = old_down.new_zeros(places, rank, old_down.shape[2]), old_up.new_zeros(places, old_up.shape[1], rank)
        self.down[: old_down.shape[0], : old_down.shape[1]] = old_down
        self.up[: old_up.shape[0], :, : old_up.shape[2]] = old_up

    def clear(self, place: int) -> None:
        self.down[place].zero_()
        self.up[place].zero_()


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
        self.stacks: dict[str, Stack] = {}
        self.kept: dict[int, Kept] = {}
        self._free: list[int] = []
        self._rows: tuple[int, ...] = ()
        self._index: Tensor | None = None
        self._active = False

    # ---- adapters -------------------------------------------------------------------------------
    def add(self, folder: Path) -> int:
        """Read a saved adapter and give it a place. What cannot share a base with others is a RecipeError (R180); a damaged or foreign one a CheckpointError."""
        folder = Path(folder)
        config = adapters.read_config(folder, "LORA")
        adapters.check_origin(folder, self.language_model)
        refuse_special(config, folder)
        pairs, whole = self.sorted_out(folder, read_tensors([resolve(folder, adapters.TENSORS)]))
        place = self._free.pop() if self._free else max(self.kept, default=BASE) + 1
        for name, (down, up) in pairs.items():
            if name not in self.stacks:
                self.open_stack(name, down, up)
            rank = down.shape[0]
            self.stacks[name].put(place, down, up * (config.lora_alpha / (math.sqrt(rank) if config.use_rslora else rank)))
        for stack in self.stacks.values():
            stack.grow(place + 1)
        self.kept[place] = Kept(place, folder, whole)
        self.forget()
        return place

    def remove(self, place: int) -> None:
        """Free a place. The caller sees to it that no row runs there."""
        del self.kept[place]
        for stack in self.stacks.values():
            stack.clear(place)
        self._free.append(place)
        self.forget()

    def sorted_out(self, folder: Path, tensors: dict[str, Tensor]) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
        """Pairs of thin matrices by layer, and tensors saved whole; shapes must be those of the layers."""
        prefix = f"base_model.model.{transformer_of(self.language_model.network).base_model_prefix}."
        halves: dict[str, dict[str, Tensor]] = {}
        whole = {}
        for name, tensor in tensors.items():
            layer, found, half = name.removeprefix(prefix).rpartition(".lora_")
            if found and name.startswith(prefix) and layer in self.layers and half in ("A.weight", "B.weight"):
                halves.setdefault(layer, {})[half[0]] = tensor.float().to(self.language_model.device)
            elif found:
                raise CheckpointError(f"the adapter in {folder} changes {name}, which this base does not have", code="C121", file=str(folder), hint="load it on the base it was trained on")
            else:
                whole[name.removeprefix("base_model.model.")] = tensor
        for layer, parts in halves.items():
            width_in, width_out = widths(self.layers[layer])
            if set(parts) != {"A", "B"} or parts["A"].shape[1] != width_in or parts["B"].shape[0] != width_out or parts["A"].shape[0] != parts["B"].shape[1]:
                raise CheckpointError(f"the adapter in {folder} does not fit this base at {layer}", code="C121", file=str(folder), hint="load it on the base it was trained on")
        return {layer: (parts["A"], parts["B"]) for layer, parts in halves.items()}, whole

    def open_stack(self, name: str, down: Tensor, up: Tensor) -> None:
        """Begin to watch a layer that no adapter touched before."""
        stack = Stack(down.new_zeros(2, down.shape[0], down.shape[1]), up.new_zeros(2, up.shape[0], up.shape[1]))
        self.stacks[name] = stack
        self.layers[name].register_forward_hook(lambda _module, inputs, output: self.changed(stack, inputs[0], output))

    # ---- passes ---------------------------------------------------------------------------------
    @contextlib.contextmanager
    def choose(self, places: Sequence[int]) -> Iterator[None]:
        """For as long as the context lasts, row i runs with the adapter at places[i]; one place alone holds for any number of rows."""
        rows = tuple(places)
        if rows != self._rows:
            self.forget()
            self._rows, self._index = rows, torch.tensor(rows, device=self.language_model.device)
        self._active = any(place != BASE for place in rows)
        try:
            yield
        finally:
            self._active = False

    def forget(self) -> None:
        """Drop what was gathered for the rows at hand."""
        self._rows = ()
        for stack in self.stacks.values():
            stack.chosen = None

    def changed(self, stack: Stack, inputs: Tensor, output: Tensor) -> Tensor:
        """A layer's output with each row's adapter added."""
        if not self._active:
            return output
        if stack.chosen is None:
            alike = len(set(self._rows)) == 1
            stack.chosen = (stack.down[self._rows[0]], stack.up[self._rows[0]]) if alike else (stack.down.index_select(0, self._index), stack.up.index_select(0, self._index))
        down, up = stack.chosen
        inputs = inputs.to(down.dtype)
        if down.dim() == 2:
            return output + nn.functional.linear(nn.functional.linear(inputs, down), up).to(output.dtype)
        return output + torch.bmm(torch.bmm(inputs, down.transpose(1, 2)), up.transpose(1, 2)).to(output.dtype)


def widths(layer: nn.Module) -> tuple[int, int]:
    """How many numbers a linear layer takes and gives; GPT-2 keeps its weights transposed."""
    first, second = layer.weight.shape
    return (first, second) if isinstance(layer, Conv1D) else (second, first)


def refuse_special(config, folder: Path) -> None:
    """What is more than a product of two thin matrices beside a linear layer needs a base of its own."""
    special = [name for name in ("use_dora", "alpha_pattern") if getattr(config, name)]
    if special or config.bias != "none":
        raise RecipeError(f"the adapter in {folder} uses {', '.join(special) or 'bias'} and cannot share a base with others", code="R180", file=str(folder), hint="it is served on a base of its own")
