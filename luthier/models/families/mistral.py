"""Mistral: Llama's block with a sliding attention window."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="mistral",
    model_types=("mistral", "ministral"),
    kind="decoder",
    linear_layers=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    further_fields=("rope_theta", "rope_scaling"),
)
