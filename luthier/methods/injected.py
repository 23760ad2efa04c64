"""What every method shares whose result is an adapter folder in PEFT's layout: the base is frozen, the rest is in `adapters.py`."""
from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor, nn

    from luthier.models.families import Family
    from luthier.models.language_model import LanguageModel


class Injected:
    """A method that puts something small into a frozen network; a member gives `kind` and `configuration`."""

    kind: ClassVar[str]
    """PEFT's name of the type."""
    base_is_frozen: ClassVar[bool] = True
    merges: ClassVar[bool] = True
    in_peft: ClassVar[str] = ""
    adapter_in_vllm: ClassVar[bool] = False
    shares_base: ClassVar[bool] = False
    positions: ClassVar[int] = 0

    def configuration(self, language_model: LanguageModel) -> PeftConfig:
        """PEFT's configuration of these settings on this network."""
        raise NotImplementedError

    def refusal(self, head: str, family: Family) -> str | None:
        """Nothing stands against it."""

    def ready(self) -> None:
        """What the plain install brings is enough."""

    def apply(self, language_model: LanguageModel) -> nn.Module:
        """Inject in float32 and freeze the rest; settings that do not fit the network are a RecipeError."""
        from luthier.methods import adapters  # PEFT costs seconds, paid when a method is applied

        return adapters.inject(language_model, self.configuration(language_model))

    def trainable(self, network: nn.Module) -> dict[str, Tensor]:
        """What was injected, and the modules that are saved whole."""
        return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}

    def save(self, network: nn.Module, language_model: LanguageModel, folder: Path) -> None:
        """Write adapter_config.json, adapter_model.safetensors, the tokenizer, and which base it belongs to."""
        from luthier.methods import adapters

        adapters.save(network, language_model, folder)

    def load(self, language_model: LanguageModel, folder: Path) -> nn.Module:
        """Put a saved adapter onto its base; another base, a missing or a surplus tensor is a CheckpointError."""
        from luthier.methods import adapters

        return adapters.load(language_model, folder, kind=self.kind)

    def merge(self, network: nn.Module, language_model: LanguageModel) -> nn.Module:
        """A plain float32 network that computes the same: the adapter added to a freshly loaded base."""
        from luthier.methods import adapters

        return adapters.merge(network, language_model)

    def disabled(self, network: nn.Module) -> AbstractContextManager[None]:
        """The base as it was, for as long as the context lasts."""
        return network.disable_adapter()

    def for_stock(self, network: nn.Module) -> dict:
        """Nothing but the folder."""
        return {}

    def stored_bytes(self, network: nn.Module) -> int:
        """Every parameter in its type."""
        return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
