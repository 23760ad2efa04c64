"""Many bottleneck adapters at one layer: y' = y + s_i U_i act(D_i x + c_i) + s_i d_i, with i chosen per row.

A narrower one is filled up with zeros: every bend known here keeps zero at zero, and the columns of U behind it are zero too. Adapters with another
bend, or which read another layer's input (parallel ones), have a stack of their own.
"""
from typing import ClassVar

from torch import Tensor

from luthier.methods.bottleneck import ACTIVATIONS
from luthier.methods.stacks.stack import Misfit, Stack, product, widths


class BottleneckStack(Stack):
    """down [N, W, in], down_bias [N, W], up [N, out, W], up_bias [N, out], the last two scaled; the variant names the bend and the layer that is read."""

    mark: ClassVar[str] = ".bottleneck_"
    halves: ClassVar[frozenset[str]] = frozenset({"down.weight", "down.bias", "up.weight", "up.bias"})

    def __init__(self, variant: tuple = ()):
        super().__init__(variant)
        self.noted: Tensor | None = None

    @classmethod
    def read(cls, layer, parts, config, name) -> tuple[tuple, dict[str, Tensor]]:
        down, up = parts["down.weight"], parts["up.weight"]
        source = (config.source_modules or {}).get(name)
        if up.shape != (widths(layer)[1], down.shape[0]) or (source is None and down.shape[1] != up.shape[0]) or parts["down.bias"].shape != down.shape[:1] or parts["up.bias"].shape != up.shape[:1]:
            raise Misfit(name)
        return (config.activation, source), {"down": down, "down_bias": parts["down.bias"], "up": config.scaling * up, "up_bias": config.scaling * parts["up.bias"]}

    def watch(self, layer, find, active) -> None:
        if self.variant[1] is not None:
            find(self.variant[1]).register_forward_pre_hook(lambda _, inputs: self.note(inputs[0]) if active() and self.rows else None)
        layer.register_forward_hook(lambda _, inputs, output: self.behind(output) if active() and self.rows else output)

    def note(self, inputs: Tensor) -> None:
        """Remember what goes into the sublayer."""
        self.noted = inputs

    def behind(self, output: Tensor) -> Tensor:
        """The layer's output with what each row's bottleneck adds."""
        source, self.noted = output if self.variant[1] is None else self.noted, None
        worn = self.worn()
        narrow = ACTIVATIONS[self.variant[0]](product(source.to(worn["down"].dtype), worn["down"], worn["down_bias"]))
        return output + product(narrow, worn["up"], worn["up_bias"]).to(output.dtype)
