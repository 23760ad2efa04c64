"""Prompt tuning (Lester et al., arXiv:2104.08691): learned embeddings before every text; everything else is frozen."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luthier.errors import RecipeError
from luthier.methods.fronted import Fronted

if TYPE_CHECKING:
    from peft import PromptTuningConfig
    from torch import nn

    from luthier.models.language_model import LanguageModel


@dataclass
class Prompt(Fronted):
    """Virtual tokens at the front of the text: kilobytes for each task, and weak on small networks."""

    name: ClassVar[str] = "prompt"
    kind: ClassVar[str] = "PROMPT_TUNING"

    tokens: int = 20
    """How many virtual tokens; they are taken from the context."""
    text: str | None = None
    """Words whose embeddings they start as, repeated as needed; none: random words of the vocabulary."""

    def configuration(self, language_model: LanguageModel) -> PromptTuningConfig:
        """PEFT's configuration."""
        from peft import PromptTuningConfig

        config = language_model.network.config
        if language_model.family.kind == "encoder" and config.to_dict().get("classifier_pooling") == "mean":
            raise RecipeError("this encoder averages over all positions, virtual ones included", code="R171", field="method", hint="choose method=lora or method=adapter")
        return PromptTuningConfig(
            prompt_tuning_init="SAMPLE_VOCAB", token_dim=language_model.network.get_input_embeddings().weight.shape[1],
            num_layers=config.num_hidden_layers, num_attention_heads=config.num_attention_heads, **self.fields(language_model),
        )

    def apply(self, language_model: LanguageModel) -> nn.Module:
        network = super().apply(language_model)
        if self.text is not None:
            self.begin_as_text(network, language_model)
        return network

    def begin_as_text(self, network: nn.Module, language_model: LanguageModel) -> None:
        """Start as the embeddings of given words."""
        import torch

        weight = network.prompt_encoder["default"].embedding.weight
        if weight.is_meta:
            return
        ids = language_model.tokenizer(self.text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise RecipeError("method.text is empty", code="R126", field="method.text", hint="write some words, or leave it out")
        ids = torch.tensor((ids * (self.tokens // len(ids) + 1))[: self.tokens], device=weight.device)
        with torch.no_grad():
            weight.copy_(language_model.network.get_input_embeddings()(ids).float())

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """3e-3 whatever the size."""
        return 3e-3, "a step of AdamW moves every number by the rate, and the embeddings that a prompt starts as are a few hundredths wide (dev/log.md); the 0.3 of arXiv:2104.08691 is for Adafactor and T5, whose embeddings are hundreds of times wider"
