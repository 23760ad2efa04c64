"""Qwen: Llama's block with biases on queries, keys and values (2) or norms on queries and keys (3)."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="qwen",
    model_types=("qwen2", "qwen3"),
    kind="decoder",
    linear_layers=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    further_fields=("rope_theta", "rope_scaling"),
)
