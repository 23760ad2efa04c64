"""Many LoRA adapters at one layer: y = W x + s_i B_i A_i x, with i chosen per row.

The thin matrices of all of them lie in two stacks, so that a batch of N different adapters costs two batched products and not N times two; a
smaller rank is filled up with zeros, which change nothing.
"""
import math
from typing import ClassVar

from torch import Tensor

from luthier.methods.stacks.stack import Misfit, Stack, product, widths


class LoraStack(Stack):
    """down [N, R, in] and up [N, out, R], the latter scaled by alpha / rank."""

    mark: ClassVar[str] = ".lora_"
    halves: ClassVar[frozenset[str]] = frozenset({"A.weight", "B.weight"})

    @classmethod
    def refusal(cls, config) -> str | None:
        """What is more than a product of two thin matrices beside a linear layer."""
        special = [name for name in ("use_dora", "alpha_pattern", "target_parameters") if getattr(config, name)]
        return ", ".join(special) or ("bias" if config.bias != "none" else None)

    @classmethod
    def read(cls, layer, parts, config, name) -> tuple[tuple, dict[str, Tensor]]:
        down, up = parts["A.weight"], parts["B.weight"]
        width_in, width_out = widths(layer)
        if down.shape[1] != width_in or up.shape[0] != width_out or down.shape[0] != up.shape[1]:
            raise Misfit(name)
        rank = down.shape[0]
        return (), {"down": down, "up": up * (config.lora_alpha / (math.sqrt(rank) if config.use_rslora else rank))}

    def watch(self, layer, find, active) -> None:
        layer.register_forward_hook(lambda _, inputs, output: self.beside(inputs[0], output) if active() and self.rows else output)

    def beside(self, inputs: Tensor, output: Tensor) -> Tensor:
        """The layer's output with each row's product added."""
        worn = self.worn()
        return output + product(product(inputs.to(worn["down"].dtype), worn["down"]), worn["up"]).to(output.dtype)
