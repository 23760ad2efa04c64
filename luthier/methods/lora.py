"""LoRA: each adapted linear layer gains a product of two thin matrices (arXiv:2106.09685): y = W x + (alpha / rank) * B A x, B = 0 at the start."""
from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from luthier.models.language_model import LanguageModel


@dataclass
class LoRA:
    """Low-rank adapters beside frozen weights; saved in PEFT's layout."""

    name: ClassVar[str] = "lora"
    base_is_frozen: ClassVar[bool] = True

    rank: int = 16
    """Width of the thin matrices; more learns more and costs more."""
    alpha: float = 32.0
    """Strength: the product is scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of the adapter's inputs dropped while training."""
    targets: list[str] | None = None
    """Last names of the layers to adapt; none: every linear layer but the output head."""

    def apply(self, language_model: LanguageModel) -> nn.Module:
        """Inject adapters in float32 and freeze the rest; unknown targets are a RecipeError with the nearest names."""
        from luthier.methods import adapters  # PEFT costs seconds, paid when a method is applied

        return adapters.inject(language_model, adapters.lora_config(self, language_model))

    def trainable(self, network: nn.Module) -> dict[str, Tensor]:
        """Adapter matrices, and the modules that are saved whole."""
        return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}

    def save(self, network: nn.Module, language_model: LanguageModel, folder: Path) -> None:
        """Write adapter_config.json, adapter_model.safetensors, the tokenizer, and which base it belongs to."""
        from luthier.methods import adapters

        adapters.save(network, language_model, folder)

    def load(self, language_model: LanguageModel, folder: Path) -> nn.Module:
        """Put a saved adapter onto its base; another base, a missing or a surplus tensor is a CheckpointError."""
        from luthier.methods import adapters

        return adapters.load(language_model, folder)

    def merge(self, network: nn.Module, language_model: LanguageModel) -> nn.Module:
        """A plain float32 network that computes the same: the adapter added to a freshly loaded base."""
        from luthier.methods import adapters

        return adapters.merge(network, language_model)

    def disabled(self, network: nn.Module) -> AbstractContextManager[None]:
        """The base as it was, for as long as the context lasts."""
        return network.disable_adapter()

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """2e-3 below 20 M parameters, 5e-4 below 300 M, 2e-4 above."""
        for limit, rate in ((20e6, 2e-3), (300e6, 5e-4)):
            if num_parameters < limit:
                return rate, f"LoRA on {num_parameters / 1e6:.1f} M parameters: adapters bear about ten times the step of full fine-tuning"
        return 2e-4, "LoRA's usual rate (arXiv:2106.09685 and the practice since)"

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""
        return ["luthier", "PEFT", "vLLM", "merged: everywhere"]
