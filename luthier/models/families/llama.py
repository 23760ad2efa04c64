"""Llama: pre-norm decoder, rotary positions, gated MLP."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="llama",
    model_types=("llama", "smollm3", "olmo", "olmo2", "stablelm"),
    kind="decoder",
    linear_layers=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    further_fields=("rope_theta", "rope_scaling"),
)
