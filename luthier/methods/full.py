"""Full fine-tuning: every weight is learned."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from luthier.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from luthier.models.families import Family
    from luthier.models.language_model import LanguageModel


@dataclass
class Full:
    """Every weight is learned; the result is a model folder of its own."""

    name: ClassVar[str] = "full"
    base_is_frozen: ClassVar[bool] = False
    merges: ClassVar[bool] = True
    in_peft: ClassVar[str] = ""
    adapter_in_vllm: ClassVar[bool] = False
    shares_base: ClassVar[bool] = False
    positions: ClassVar[int] = 0

    def refusal(self, head: str, family: Family) -> str | None:
        """Every network can learn whole."""

    def ready(self) -> None:
        """What the plain install brings is enough."""

    def apply(self, language_model: LanguageModel) -> nn.Module:
        """Make every parameter trainable; returns the network itself."""
        return language_model.network.requires_grad_(True)

    def trainable(self, network: nn.Module) -> dict[str, Tensor]:
        """All parameters by name, tied ones once."""
        return dict(network.named_parameters())

    def save(self, network: nn.Module, language_model: LanguageModel, folder: Path) -> None:
        """Write a model folder: config.json, model.safetensors, tokenizer files. Non-finite weights are NonFinite."""
        from luthier.models.saving import save_network  # torch and transformers, paid when used

        save_network(network, language_model, folder)

    def load(self, language_model: LanguageModel, folder: Path) -> nn.Module:
        """Replace the network's weights by those of a saved model folder of the same shape."""
        from luthier.models.load import replace_weights

        return replace_weights(language_model, folder)

    def merge(self, network: nn.Module, language_model: LanguageModel) -> nn.Module:
        """There is nothing to merge."""
        return network

    @contextlib.contextmanager
    def disabled(self, network: nn.Module) -> Iterator[None]:
        """Full fine-tuning overwrites its base, so it cannot be switched off."""
        raise RecipeError("full fine-tuning has no base underneath to switch back to", code="R129", hint="load the base again by its name")
        yield

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """5e-4 below 20 M parameters, 1e-4 below 300 M, 2e-5 below 3 B, 1e-5 above."""
        for limit, rate in ((20e6, 5e-4), (300e6, 1e-4), (3e9, 2e-5)):
            if num_parameters < limit:
                return rate, f"full fine-tuning of {num_parameters / 1e6:.1f} M parameters: smaller networks bear larger steps"
        return 1e-5, f"full fine-tuning of {num_parameters / 1e9:.1f} B parameters: the habit of large models"

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""
        return ["luthier", "Transformers", "vLLM", "export to GGUF"]

    def for_stock(self, network: nn.Module) -> dict:
        """Nothing but the folder."""
        return {}

    def stored_bytes(self, network: nn.Module) -> int:
        """Every parameter in its type."""
        return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
