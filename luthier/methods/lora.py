"""LoRA: each adapted linear layer gains a product of two thin matrices (arXiv:2106.09685): y = W x + s * B A x, B = 0 at the start.

s is alpha / rank, or with `rank_stabilised` alpha / sqrt(rank) (arXiv:2312.03732), which keeps the strength of wide adapters.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luthier.errors import RecipeError
from luthier.methods.injected import Injected

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn

    from luthier.models.language_model import LanguageModel


@dataclass
class LoRA(Injected):
    """Low-rank adapters beside frozen weights; saved in PEFT's layout."""

    name: ClassVar[str] = "lora"
    kind: ClassVar[str] = "LORA"
    adapter_in_vllm: ClassVar[bool] = True
    shares_base: ClassVar[bool] = True

    rank: int = 16
    """Width of the thin matrices; more learns more and costs more."""
    alpha: float = 32.0
    """Strength: the product is scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of the adapter's inputs dropped while training."""
    targets: list[str] | None = None
    """Last names of the layers to adapt; none: every linear layer but the output head."""
    rank_stabilised: bool = False
    """Scale by alpha / sqrt(rank) instead, so that ranks above 32 keep their strength."""
    layers: list[int] | None = None
    """Numbers of the blocks to adapt, from 0, -1 is the last; none: all."""
    ranks: dict[str, int] | None = None
    """Other ranks for layers by their last name, such as {q_proj: 8}; alpha / rank stays the same."""

    def configuration(self, language_model: LanguageModel) -> LoraConfig:
        """PEFT's configuration; unknown targets, blocks or ranks are a RecipeError with what there is."""
        from peft import LoraConfig

        from luthier.methods import adapters, targets

        network, ranks = language_model.network, self.ranks or {}
        if min([self.rank, *ranks.values()]) < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise RecipeError("method: rank must be at least 1, alpha above 0 and dropout from 0 to below 1", code="R126", field="method")
        chosen = targets.chosen_targets(self.targets, network)
        if odd := sorted(set(ranks) - set(chosen)):
            raise RecipeError(f"method.ranks names {odd[0]!r}, which is not adapted; adapted are: {', '.join(chosen)}", code="R125", field="method.ranks")
        strength = {name: self.alpha * (rank / self.rank) ** (0.5 if self.rank_stabilised else 1.0) for name, rank in ranks.items()}
        return LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=chosen, exclude_modules=adapters.excluded(language_model),
            layers_to_transform=targets.chosen_blocks(self.layers, network, "method.layers"), rank_pattern=dict(ranks), alpha_pattern=strength,
            bias="none", use_rslora=self.rank_stabilised, fan_in_fan_out=targets.has_transposed(network, chosen),
            ensure_weight_tying=adapters.keeps_ties(language_model), **self.further(language_model), **adapters.shared_fields(language_model),
        )

    def apply(self, language_model: LanguageModel) -> nn.Module:
        """Inject, and let the plain layers take the short way while they learn."""
        from luthier.methods import lora_product

        network = super().apply(language_model)
        lora_product.quicken(network)
        return network

    def further(self, language_model: LanguageModel) -> dict:
        """Experts that share one tensor are adapted too, each with its own matrices, unless `targets` chooses layers."""
        experts = language_model.family.experts if self.targets is None else ()
        if experts and self.dropout:
            raise RecipeError(f"{language_model.family.name} keeps its experts in one tensor, and adapters of those know no dropout", code="R126", field="method.dropout", hint="set method.dropout=0, or choose method.targets")
        return {"target_parameters": list(experts)} if experts else {}

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """2e-3 below 20 M parameters, 5e-4 below 300 M, 2e-4 above."""
        for limit, rate in ((20e6, 2e-3), (300e6, 5e-4)):
            if num_parameters < limit:
                return rate, f"LoRA on {num_parameters / 1e6:.1f} M parameters: adapters bear about ten times the step of full fine-tuning"
        return 2e-4, "LoRA's usual rate (arXiv:2106.09685 and the practice since)"

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""
        return ["luthier", "PEFT", "vLLM", "merged: everywhere"]
