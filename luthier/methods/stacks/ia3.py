"""Many (IA)3 adapters at one layer: y = l_i * (W x + b), or in the feed-forward y = W (l_i * x) + b, with i chosen per row; ones change nothing."""
from typing import ClassVar

from torch import Tensor

from luthier.methods.stacks.stack import Misfit, Stack, widths


class IA3Stack(Stack):
    """scale [N, width]; the variant says whether it stands in front of the layer."""

    mark: ClassVar[str] = ".ia3_"
    halves: ClassVar[frozenset[str]] = frozenset({"l"})
    idle: ClassVar[float] = 1.0

    @classmethod
    def read(cls, layer, parts, config, name) -> tuple[tuple, dict[str, Tensor]]:
        inner = any(name == wanted or name.endswith(f".{wanted}") for wanted in config.feedforward_modules or ())
        scale = parts["l"].flatten()
        if scale.shape[0] != widths(layer)[0 if inner else 1]:
            raise Misfit(name)
        return (inner,), {"scale": scale}

    def watch(self, layer, find, active) -> None:
        if self.variant[0]:
            layer.register_forward_pre_hook(lambda _, inputs: (self.scaled(inputs[0]), *inputs[1:]) if active() and self.rows else inputs)
        else:
            layer.register_forward_hook(lambda _, inputs, output: self.scaled(output) if active() and self.rows else output)

    def scaled(self, values: Tensor) -> Tensor:
        """Each row's values times its own scale."""
        scale = self.worn()["scale"]
        return (values * (scale if scale.dim() == 1 else scale[:, None])).to(values.dtype)
