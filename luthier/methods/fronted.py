"""What prompt and prefix share: virtual positions before every text, which nothing can merge into the weights."""
from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from luthier.errors import RecipeError
from luthier.methods.injected import Injected

if TYPE_CHECKING:
    from torch import nn

    from luthier.models.language_model import LanguageModel

MOST = 1024


class Fronted(Injected):
    """A method whose `tokens` virtual positions come before every text."""

    merges: ClassVar[bool] = False
    tokens: int

    @property
    def positions(self) -> int:
        """They are taken from the context."""
        return self.tokens

    def checked(self) -> None:
        """RecipeError where the number of positions is out of range."""
        if not 1 <= self.tokens <= MOST:
            raise RecipeError(f"method.tokens is {self.tokens}; allowed is 1 to {MOST:,}", code="R126", field="method.tokens")

    def fields(self, language_model: LanguageModel) -> dict:
        """What every configuration of the kind says; PEFT has virtual positions for no head it has no word for, but for plain features."""
        from luthier.methods import adapters

        shared = adapters.shared_fields(language_model)
        return shared | {"num_virtual_tokens": self.tokens, "num_transformer_submodules": 1, "task_type": shared["task_type"] or "FEATURE_EXTRACTION"}

    def apply(self, language_model: LanguageModel) -> nn.Module:
        """Freeze the network and put virtual positions in front."""
        from luthier.methods import virtual

        self.checked()
        return virtual.inject(language_model, self.configuration(language_model))

    def load(self, language_model: LanguageModel, folder: Path) -> nn.Module:
        """Put saved virtual positions onto their base; another base, a missing or a surplus tensor is a CheckpointError."""
        from luthier.methods import virtual

        network = super().load(language_model, folder)
        virtual.settle(network, network.peft_config["default"], language_model.family)
        return network

    def merge(self, network: nn.Module, language_model: LanguageModel) -> nn.Module:
        """Positions are no weights."""
        raise RecipeError(f"method {self.name} adds positions, not weights, and cannot be merged", code="R171", field="method", hint="serve it with luthier or PEFT, or train with method=lora")

    def disabled(self, network: nn.Module) -> AbstractContextManager[None]:
        """The base as it was, for as long as the context lasts."""
        from luthier.methods import virtual

        return virtual.switched_off(network)

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""
        return ["luthier", "PEFT"]
