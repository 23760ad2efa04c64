"""DoRA: the length of each weight's column is learned apart from its direction (arXiv:2402.09353): W' = m * (W + s B A) / |W + s B A|.

m starts as |W|, so at the start W' = W. Its norm is a constant for the gradient, as in section 4.3 of the paper.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from luthier.methods.lora import LoRA

if TYPE_CHECKING:
    from luthier.models.families import Family
    from luthier.models.language_model import LanguageModel


@dataclass
class DoRA(LoRA):
    """LoRA for directions, and a learned length beside it: learns more at small ranks, and costs more time."""

    name: ClassVar[str] = "dora"
    adapter_in_vllm: ClassVar[bool] = False
    shares_base: ClassVar[bool] = False

    def refusal(self, head: str, family: Family) -> str | None:
        """Experts that share one tensor have no columns of their own."""
        return "its experts share one tensor, and DoRA needs a matrix for each" if family.experts else None

    def further(self, language_model: LanguageModel) -> dict:
        return {"use_dora": True}

    def default_learning_rate(self, num_parameters: int) -> tuple[float, str]:
        """LoRA's."""
        rate, _ = super().default_learning_rate(num_parameters)
        return rate, "DoRA is trained at LoRA's rates (arXiv:2402.09353)"

    def loads_in(self) -> list[str]:
        """Where the saved result can be used."""
        return ["luthier", "PEFT", "merged: everywhere"]
