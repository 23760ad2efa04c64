"""QLoRA (Dettmers et al., arXiv:2305.14314): LoRA on a base whose linear layers are kept in 4-bit NormalFloat, with quantised constants (double quantisation).

bitsandbytes repacks 4-bit weights in place at the first evaluation on processors with AVX512-BF16, after which merging or dequantising them is
silently wrong. Repacking is switched off here, and nothing is ever merged into or dequantised from a network that has run: see `merge`.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luthier.methods.lora import LoRA

if TYPE_CHECKING:
    from torch import nn

    from luthier.models.families import Family
    from luthier.models.language_model import LanguageModel


@dataclass
class QLoRA(LoRA):
    """Low-rank adapters beside 4-bit weights: about a quarter of the base's memory, and slower steps."""

    name: ClassVar[str] = "qlora"
    in_peft: ClassVar[str] = ", on the base loaded in NF4"
    adapter_in_vllm: ClassVar[bool] = False
    shares_base: ClassVar[bool] = False

    def refusal(self, head: str, family: Family) -> str | None:
        """Only linear layers have a 4-bit form."""
        if family.experts:
            return "its experts share one tensor, which bitsandbytes leaves as it is without a word"
        return "its layers are Conv1D, which have no 4-bit form" if family.transposed else None

    def ready(self) -> None:
        """bitsandbytes is there, or the sentence that says how to get it."""
        from luthier.methods import nf4

        nf4.library()

    def apply(self, language_model: LanguageModel) -> nn.Module:
        """Quantise the linear layers of the body, then inject adapters in float32."""
        from luthier.methods import nf4

        nf4.quantise(language_model)
        return super().apply(language_model)

    def load(self, language_model: LanguageModel, folder) -> nn.Module:
        """Quantise the base as it was, then put the adapter on it."""
        from luthier.methods import nf4

        nf4.quantise(language_model)
        return super().load(language_model, folder)

    def merge(self, network: nn.Module, language_model: LanguageModel) -> nn.Module:
        """A float32 network that computes the same: the base loaded anew, quantised, dequantised, and the adapter added; the live network is never touched."""
        from luthier.methods import adapters, nf4

        fresh = adapters.fresh_base(language_model)
        nf4.round_to_nf4(fresh, nf4.kept_dtype(network))
        return adapters.merge_onto(fresh, network)

    def for_stock(self, network: nn.Module) -> dict:
        """The linear layers that are not quantised."""
        from luthier.methods import nf4

        return {"quantised": nf4.left_alone(network)}

    def stored_bytes(self, network: nn.Module) -> int:
        """Four bits for each quantised weight and its constants, the rest in its type."""
        from luthier.methods import nf4

        return nf4.stored_bytes(network, super().stored_bytes(network))

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """LoRA's below 300 M parameters; 2e-4 above, and 1e-4 from 33 B on."""
        if num_parameters >= 30e9:
            return 1e-4, "QLoRA's rate for 33 B parameters and more (arXiv:2305.14314)"
        rate, reason = super().default_learning_rate(num_parameters)
        return rate, reason if num_parameters < 300e6 else "QLoRA's rate up to 13 B parameters (arXiv:2305.14314)"

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""
        return ["luthier", "PEFT on the base loaded in NF4", "merged: everywhere"]
