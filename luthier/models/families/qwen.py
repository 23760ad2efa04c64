"""Qwen: Llama's block with biases on queries, keys and values (2) or norms on queries and keys (3); also with experts (3 MoE)."""
from luthier.models.families.family import Family
from luthier.models.families.llama import BLOCK

FAMILY = Family(name="qwen", model_types=("qwen2", "qwen3"), kind="decoder", gguf=True, **BLOCK)
MOE = Family(
    name="qwen_moe", model_types=("qwen3_moe",), kind="decoder", gguf=True,
    **BLOCK | {"feedforward_in": (), "feedforward_out": (), "experts": ("mlp.experts.gate_up_proj", "mlp.experts.down_proj"), "further_fields": ("rope_theta", "rope_scaling", "head_dim", "max_window_layers")},
)
