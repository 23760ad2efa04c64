"""Gemma: embeddings scaled by the root of the width, norms that add one, logits bounded by tanh (2)."""
from luthier.models.families.family import Family
from luthier.models.families.llama import BLOCK

FAMILY = Family(
    name="gemma",
    model_types=("gemma", "gemma2", "gemma3_text"),
    kind="decoder",
    gguf=True,
    logit_softcap=lambda config: None if config.model_type == "gemma" else config.final_logit_softcapping,
    **BLOCK | {"further_fields": ("rope_theta", "rope_scaling", "rope_local_base_freq", "hidden_activation", "sliding_window_pattern")},
)
