"""Llama: pre-norm decoder, rotary positions, gated MLP. Its block is that of many families after it."""
from luthier.models.families.family import Family

BLOCK = {
    "keys_values": ("self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "feedforward_in": ("mlp.gate_proj", "mlp.up_proj"),
    "feedforward_out": ("mlp.down_proj",),
    "further_fields": ("rope_theta", "rope_scaling"),
}
"""Where the parts of a Llama block are, and what old configurations call them."""

FAMILY = Family(name="llama", model_types=("llama", "smollm3", "olmo", "olmo2", "stablelm"), kind="decoder", gguf=True, **BLOCK)
