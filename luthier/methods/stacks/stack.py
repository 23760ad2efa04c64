"""What one layer holds of all adapters of one kind: equal tensors lie in one stack, and a row picks its own by number.

Number 0 is nobody's: what stands there changes nothing, so that rows without an adapter of this kind run beside those that have one.
"""
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


class Misfit(Exception):
    """Tensors that do not fit the layer they name."""


class Stack:
    """One layer's part; a member says how its tensors are read and what they do to the layer."""

    mark: ClassVar[str]
    """What stands between the layer's name and the part's in a saved tensor's name."""
    halves: ClassVar[frozenset[str]]
    """The parts that a layer must have."""
    idle: ClassVar[float] = 0.0
    """What changes nothing."""

    def __init__(self, variant: tuple = ()):
        self.variant = variant
        self.tensors: dict[str, Tensor] = {}
        """By name, [numbers, ...]."""
        self.numbers: dict[int, int] = {}
        """The number of each place of the bank that is here."""
        self.free: list[int] = []
        self.rows: tuple[int, ...] = ()
        """Numbers of the rows at hand; empty where none of them is here."""
        self.chosen: dict[str, Tensor] | None = None
        """Tensors of the rows at hand, [rows, ...]; without the first axis where all rows wear one adapter. None until a pass asks."""

    # ---- what a member says ---------------------------------------------------------------------
    @classmethod
    def refusal(cls, config) -> str | None:
        """Why an adapter with this configuration cannot be mixed with others; None where it can."""

    @classmethod
    def read(cls, layer: nn.Module, parts: Mapping[str, Tensor], config, name: str) -> tuple[tuple, dict[str, Tensor]]:
        """(variant, tensors) of one adapter at a layer of this full name; Misfit where they do not fit it. Layers of one variant share a stack."""
        raise NotImplementedError

    def watch(self, layer: nn.Module, find: Callable[[str], nn.Module], active: Callable[[], bool]) -> None:
        """Hook the layer; `find` gives a module by its full name, `active` says whether any row wears anything now."""
        raise NotImplementedError

    # ---- adapters -------------------------------------------------------------------------------
    def put(self, place: int, tensors: Mapping[str, Tensor]) -> None:
        """Write one adapter; the stack grows in numbers and in every axis as needed."""
        number = self.numbers[place] = self.free.pop() if self.free else len(self.numbers) + 1
        for name, tensor in tensors.items():
            whole = self.tensors[name] = self.grown(self.tensors.get(name), number + 1, tensor)
            whole[number].fill_(self.idle)
            whole[number][tuple(slice(0, size) for size in tensor.shape)] = tensor

    def grown(self, old: Tensor | None, numbers: int, tensor: Tensor) -> Tensor:
        """A stack with room for so many numbers and for such a tensor; what is new changes nothing."""
        if old is None:
            return tensor.new_full((max(2, numbers), *tensor.shape), self.idle)
        numbers = old.shape[0] if numbers <= old.shape[0] else max(numbers, 2 * old.shape[0])
        shape = (numbers, *map(max, old.shape[1:], tensor.shape))
        if shape == tuple(old.shape):
            return old
        new = old.new_full(shape, self.idle)
        new[tuple(slice(0, size) for size in old.shape)] = old
        return new

    def drop(self, place: int) -> None:
        """Forget a place, if it is here."""
        if place in self.numbers:
            number = self.numbers.pop(place)
            for tensor in self.tensors.values():
                tensor[number].fill_(self.idle)
            self.free.append(number)

    # ---- rows -----------------------------------------------------------------------------------
    def seat(self, places: Sequence[int]) -> None:
        """These are the rows from now on."""
        rows = tuple(self.numbers.get(place, 0) for place in places)
        self.rows, self.chosen = rows if any(rows) else (), None

    def worn(self) -> dict[str, Tensor]:
        """The tensors of the rows at hand, gathered once for as long as they stay."""
        if self.chosen is None:
            if len(set(self.rows)) == 1:
                self.chosen = {name: tensor[self.rows[0]] for name, tensor in self.tensors.items()}
            else:
                index = torch.tensor(self.rows, device=next(iter(self.tensors.values())).device)
                self.chosen = {name: tensor.index_select(0, index) for name, tensor in self.tensors.items()}
        return self.chosen


def widths(layer: nn.Module) -> tuple[int, int]:
    """How many numbers a linear layer takes and gives; GPT-2 keeps its weights transposed."""
    first, second = layer.weight.shape
    return (first, second) if isinstance(layer, Conv1D) else (second, first)


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """inputs [B, T, in] times one matrix [out, in], or times each row's own [B, out, in], with the bias of it."""
    if weight.dim() == 2:
        return nn.functional.linear(inputs, weight, bias)
    found = torch.bmm(inputs, weight.transpose(1, 2))
    return found if bias is None else found + bias[:, None]
