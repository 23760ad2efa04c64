"""Phi: parallel block and biased head (1, 2), or Llama's block with fused projections (3)."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="phi",
    model_types=("phi", "phi3"),
    kind="decoder",
    gguf=True,
    keys_values=("self_attn.k_proj", "self_attn.v_proj", "self_attn.qkv_proj"),
    attention_out=("self_attn.dense", "self_attn.o_proj"),
    feedforward_in=("mlp.fc1", "mlp.gate_up_proj"),
    feedforward_out=("mlp.fc2", "mlp.down_proj"),
    further_fields=("rope_theta", "rope_scaling", "partial_rotary_factor"),
)
