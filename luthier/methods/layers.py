"""Only some layers are learned, whole: the last blocks with what follows them, or the modules that the recipe names (arXiv:1911.03090, arXiv:2406.10209)."""
from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luthier.errors import RecipeError
from luthier.methods.full import Full

if TYPE_CHECKING:
    from torch import nn

    from luthier.models.language_model import LanguageModel


@dataclass
class Layers(Full):
    """Full fine-tuning of a part of the network: no adapter, little memory for the optimizer, a model folder of its own."""

    name: ClassVar[str] = "layers"

    top: int = 2
    """So many blocks from the end are learned, with the norms and the output layer behind them."""
    modules: list[str] | None = None
    """Instead: parts of names, such as self_attn, layers.3 or lm_head; every weight inside them is learned."""

    def apply(self, language_model: LanguageModel) -> nn.Module:
        """Make the chosen weights trainable, and those that no file held; a name that fits nothing is a RecipeError."""
        network = language_model.network.requires_grad_(False)
        chosen = self.named(network) if self.modules is not None else self.last(network)
        chosen |= set(language_model.fresh)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in chosen)
        if language_model.resized:
            network.get_input_embeddings().weight.requires_grad_(True)
        return network

    def trainable(self, network: nn.Module) -> dict:
        """The chosen parameters by name."""
        return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}

    def last(self, network: nn.Module) -> set[str]:
        """Names of the parameters of the last blocks of every stack, and of what follows them."""
        from luthier.methods.targets import block_of, num_blocks

        count = num_blocks(network)
        if not 1 <= self.top <= count:
            raise RecipeError(f"method.top is {self.top}; this network has {count} blocks", code="R126", field="method.top", hint=f"choose 1 to {count}, or method=full")
        chosen = set()
        for name, _ in network.named_parameters():
            block = block_of(name)
            follows = block is None and not any("embed" in part or part in ("wte", "wpe", "shared") for part in name.split("."))
            if follows or (block and block[1] >= count - self.top):
                chosen.add(name)
        return chosen

    def named(self, network: nn.Module) -> set[str]:
        """Names of the parameters inside the modules that the recipe names."""
        names = [name for name, _ in network.named_parameters()]
        inside = lambda wanted, name: f".{wanted}." in f".{name}."
        for wanted in self.modules:
            if not any(inside(wanted, name) for name in names):
                parts = sorted({part for name in names for part in name.split(".") if not part.isdigit()})
                near = difflib.get_close_matches(wanted, parts, n=1, cutoff=0.5)
                raise RecipeError(
                    f"method.modules names {wanted!r}, which is no part of this network; there are: {', '.join(parts)}", code="R125", field="method.modules",
                    hint=f"did you mean {near[0]}?" if near else "leave modules out to learn the last blocks",
                )
        chosen = {name for name in names for wanted in self.modules if inside(wanted, name)}
        if not chosen:
            raise RecipeError("method.modules is empty, so nothing would be learned", code="R125", field="method.modules", hint="leave it out to learn the last blocks")
        return chosen

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """That of full fine-tuning."""
        rate, _ = super().default_learning_rate(num_parameters)
        return rate, "layers that learn whole take the rate of full fine-tuning"
