"""Bottleneck adapters (Houlsby et al., arXiv:1902.00751; Pfeiffer et al., arXiv:2005.00247; He et al., arXiv:2110.04366): y' = y + s * U act(D x)."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from luthier.errors import RecipeError
from luthier.methods.injected import Injected

if TYPE_CHECKING:
    from torch import nn

    from luthier.methods.bottleneck import BottleneckConfig
    from luthier.models.families import Family
    from luthier.models.language_model import LanguageModel


@dataclass
class Adapter(Injected):
    """Small layers of their own behind or beside the frozen ones."""

    name: ClassVar[str] = "adapter"
    kind: ClassVar[str] = "BOTTLENECK"
    shares_base: ClassVar[bool] = True
    merges: ClassVar[bool] = False
    in_peft: ClassVar[str] = ", once luthier/methods/bottleneck.py is imported"

    style: Literal["houlsby", "pfeiffer", "parallel"] = "pfeiffer"
    """houlsby: behind attention and feed-forward; pfeiffer: behind the feed-forward only; parallel: beside the feed-forward."""
    width: int = 64
    """Width of the narrow layer; more learns more and costs more."""
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    """The bend between the two layers."""
    scale: float | None = None
    """Strength; none: 1 behind a layer, 4 beside it, as the papers have it."""
    dropout: float = 0.0
    """Share of the narrow layer's outputs dropped while training."""

    def refusal(self, head: str, family: Family) -> str | None:
        """Families whose feed-forward layers are fused experts have no place for it."""
        return "its feed-forward layers are fused experts, behind which there is no one layer to adapt" if family.experts else None

    def configuration(self, language_model: LanguageModel) -> BottleneckConfig:
        """The configuration, from the places that the family's file tells."""
        from luthier.methods import adapters, targets
        from luthier.methods.bottleneck import BottleneckConfig

        if self.width < 1 or not 0 <= self.dropout < 1 or self.scale == 0:
            raise RecipeError("method: width must be at least 1, dropout from 0 to below 1, and scale not 0", code="R126", field="method")
        places = targets.places_of(language_model, "feedforward_out")
        if self.style == "houlsby":
            places = [*targets.places_of(language_model, "attention_out"), *places]
        sources = sources_of(places, targets.places_of(language_model, "feedforward_in")) if self.style == "parallel" else None
        return BottleneckConfig(
            target_modules=places, source_modules=sources, bottleneck_dim=self.width, activation=self.activation, dropout=self.dropout,
            scaling=self.scale or (4.0 if sources else 1.0), **adapters.shared_fields(language_model),
        )

    def merge(self, network: nn.Module, language_model: LanguageModel) -> nn.Module:
        """A bend cannot be added to a weight."""
        raise RecipeError("a bottleneck adapter has a bend in it and cannot be merged into the weights", code="R171", field="method", hint="serve it with luthier, or train with method=lora")

    def for_stock(self, network: nn.Module) -> dict:
        """The file that PEFT needs to know the type."""
        return {"plugin": str(Path(__file__).with_name("bottleneck.py"))}

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """1e-3 below 300 M parameters, 3e-4 above."""
        if num_parameters < 300e6:
            return 1e-3, "bottleneck adapters on small networks: within the range 3e-5 to 3e-3 that arXiv:1902.00751 searches"
        return 3e-4, "the middle of the range that arXiv:1902.00751 searches"

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""
        return ["luthier", "PEFT with luthier/methods/bottleneck.py imported"]


def sources_of(places: list[str], firsts: list[str]) -> dict[str, str]:
    """For each last layer of a feed-forward sublayer, the first layer of the same block."""
    from luthier.methods.targets import block_of

    first_of = {}
    for name in firsts:
        first_of.setdefault(block_of(name)[:2], name)
    return {place: first_of[block_of(place)[:2]] for place in places}
