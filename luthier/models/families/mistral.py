"""Mistral: Llama's block with a sliding attention window; Mixtral: the same with experts, of which two answer for each token."""
from luthier.models.families.family import Family
from luthier.models.families.llama import BLOCK

FAMILY = Family(name="mistral", model_types=("mistral", "ministral"), kind="decoder", gguf=True, **BLOCK)
MIXTRAL = Family(
    name="mixtral", model_types=("mixtral",), kind="decoder", gguf=True,
    **BLOCK | {"feedforward_in": (), "feedforward_out": (), "experts": ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")},
)
