"""Granite: Llama's block with multipliers on embeddings, residuals, attention and logits."""
from luthier.models.families.family import Family
from luthier.models.families.llama import BLOCK

FAMILY = Family(name="granite", model_types=("granite",), kind="decoder", gguf=True, logit_scale=lambda config: 1.0 / config.logits_scaling, **BLOCK)
