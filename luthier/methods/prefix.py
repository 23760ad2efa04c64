"""Prefix tuning (Li and Liang, arXiv:2101.00190; without its MLP, as P-tuning v2, arXiv:2110.07602): learned keys and values before every text, in every layer.

They start as the keys and values of real words of the vocabulary, which the first paper finds steadier than random ones.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luthier.methods.fronted import Fronted

if TYPE_CHECKING:
    from peft import PrefixTuningConfig
    from torch import nn

    from luthier.models.families import Family
    from luthier.models.language_model import LanguageModel


@dataclass
class Prefix(Fronted):
    """Virtual keys and values in every layer: stronger than `prompt`, still small."""

    name: ClassVar[str] = "prefix"
    kind: ClassVar[str] = "PREFIX_TUNING"

    tokens: int = 20
    """How many virtual positions; they are taken from the context."""

    def refusal(self, head: str, family: Family) -> str | None:
        """Attention must take keys and values from before the text. For two stacks PEFT cuts what is learned into fours and uses the first two of each, so
        that layers share keys and half of them do nothing."""
        if family.kind == "encoder_decoder":
            return "PEFT would give several layers of its decoder the same learned keys and leave half of them unused"
        if family.earlier_keys:
            return super().refusal(head, family)
        return "its attention in Transformers takes no keys and values from before the text"

    def configuration(self, language_model: LanguageModel) -> PrefixTuningConfig:
        """PEFT's configuration."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(prefix_projection=False, **self.fields(language_model))

    def apply(self, language_model: LanguageModel) -> nn.Module:
        network = super().apply(language_model)
        self.begin_as_words(network)
        return network

    def begin_as_words(self, network: nn.Module) -> None:
        """Start as what the base computes for random words of its vocabulary."""
        import torch
        from transformers import DynamicCache

        from luthier.models.heads import body_of, transformer_of

        weight = network.prompt_encoder["default"].embedding.weight
        if weight.is_meta:
            return
        cache, was_training = DynamicCache(), network.training
        words = torch.randint(0, transformer_of(network).get_input_embeddings().weight.shape[0], (1, self.tokens), device=weight.device)
        with self.disabled(network), torch.no_grad():
            body_of(network.eval())(input_ids=words, past_key_values=cache, use_cache=True)
            pairs = [half[0].transpose(0, 1).flatten(1) for layer in cache.layers for half in (layer.keys, layer.values)]
            weight.copy_(torch.cat(pairs, 1).float())
        network.train(was_training)

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """1e-2 below 300 M parameters, 5e-3 above."""
        if num_parameters < 300e6:
            return 1e-2, "prefix tuning on a small network: the upper rates of arXiv:2110.07602"
        return 5e-3, "prefix tuning: the usual rate of arXiv:2110.07602"
