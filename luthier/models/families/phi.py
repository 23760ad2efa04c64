"""Phi: parallel block and biased head (1, 2), or Llama's block with fused projections (3)."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="phi",
    model_types=("phi", "phi3"),
    kind="decoder",
    linear_layers=(),
    further_fields=("rope_theta", "rope_scaling", "partial_rotary_factor"),
)
