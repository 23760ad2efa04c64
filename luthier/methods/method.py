"""The contract of a method: what it changes, how it is saved, loaded, merged and switched off."""
from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from luthier.models.families import Family
    from luthier.models.language_model import LanguageModel


class Method(Protocol):
    """How weights change. A dataclass: its fields are its settings."""

    name: ClassVar[str]
    base_is_frozen: ClassVar[bool]
    """Whether the base's own weights stay as they are, so that they may be kept in low precision."""
    merges: ClassVar[bool]
    """Whether the result can become a plain network."""
    in_peft: ClassVar[str]
    """What PEFT needs beside the folder, in words that follow `yes`."""
    adapter_in_vllm: ClassVar[bool]
    """Whether vLLM takes the adapter as it is."""
    shares_base: ClassVar[bool]
    """Whether its result runs on the base as it came, so that many may share one in memory."""
    positions: int
    """Positions of the context that it takes for itself."""

    def refusal(self, head: str, family: Family) -> str | None:
        """Why it cannot work with this head on this family, in words that follow the family's name; None where it can."""

    def ready(self) -> None:
        """RecipeError where a package that it needs is not installed: asked before anything is read."""

    def apply(self, language_model: LanguageModel) -> nn.Module:
        """Inject what is learned, set requires_grad, and return the network to train."""

    def trainable(self, network: nn.Module) -> dict[str, Tensor]:
        """The tensors that an optimizer changes, by name, in a fixed order."""

    def save(self, network: nn.Module, language_model: LanguageModel, folder: Path) -> None:
        """Write the ecosystem's folder layout into an existing, empty folder."""

    def load(self, language_model: LanguageModel, folder: Path) -> nn.Module:
        """Put what `save` wrote onto a base; strict: another base, a missing or a surplus tensor is an error."""

    def merge(self, network: nn.Module, language_model: LanguageModel) -> nn.Module:
        """A plain network that computes the same, made on a freshly loaded base."""

    def disabled(self, network: nn.Module) -> AbstractContextManager[None]:
        """The base as it was, for as long as the context lasts."""

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """A learning rate and where it comes from."""

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""

    def for_stock(self, network: nn.Module) -> dict:
        """What stock libraries must know beside the folder to load it: `plugin`, a file to import; `quantised`, modules that are not."""

    def stored_bytes(self, network: nn.Module) -> int:
        """Bytes of all weights while training; asked of shapes without storage too."""
