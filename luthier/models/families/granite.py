"""Granite: Llama's block with multipliers on embeddings, residuals, attention and logits."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="granite",
    model_types=("granite",),
    kind="decoder",
    linear_layers=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    logit_scale=lambda config: 1.0 / config.logits_scaling,
    further_fields=("rope_theta", "rope_scaling"),
)
