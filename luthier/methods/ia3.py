"""(IA)3: keys, values and the inner activations of the feed-forward layers are scaled by learned vectors (arXiv:2205.05638).

k' = l_k * k, v' = l_v * v, and FF(x) = W_2 (l_ff * act(W_1 x)); every l starts as ones, so the network starts as its base.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luthier.methods.injected import Injected

if TYPE_CHECKING:
    from peft import IA3Config

    from luthier.models.families import Family
    from luthier.models.language_model import LanguageModel


@dataclass
class IA3(Injected):
    """Scales what flows through frozen layers: the fewest weights of all methods; for a handful of examples or many tenants."""

    name: ClassVar[str] = "ia3"
    kind: ClassVar[str] = "IA3"
    shares_base: ClassVar[bool] = True

    def refusal(self, head: str, family: Family) -> str | None:
        """Families whose feed-forward layers are fused experts have no inner activation to scale."""
        return "its feed-forward layers are fused experts, whose inner activations cannot be scaled" if family.experts else None

    def configuration(self, language_model: LanguageModel) -> IA3Config:
        """PEFT's configuration, from the places that the family's file tells."""
        from peft import IA3Config

        from luthier.methods import adapters, targets

        inner = targets.places_of(language_model, "feedforward_out")
        scaled = [*targets.places_of(language_model, "keys_values"), *inner]
        return IA3Config(
            target_modules=scaled, feedforward_modules=inner, exclude_modules=adapters.excluded(language_model),
            fan_in_fan_out=targets.has_transposed(language_model.network, [name.rsplit(".", 1)[-1] for name in scaled]), **adapters.shared_fields(language_model),
        )

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """1e-2 below 300 M parameters, 3e-3 above."""
        if num_parameters < 300e6:
            return 1e-2, "(IA)3 on a small network: three times the rate of arXiv:2205.05638, whose networks have billions"
        return 3e-3, "the rate of arXiv:2205.05638"

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""
        return ["luthier", "PEFT", "merged: everywhere"]
