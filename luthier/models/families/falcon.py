"""Falcon: attention and MLP in parallel, keys and values shared by many heads, rotary positions or ALiBi."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="falcon",
    model_types=("falcon",),
    kind="decoder",
    gguf=True,
    keys_values=("self_attention.query_key_value",),
    attention_out=("self_attention.dense",),
    feedforward_in=("mlp.dense_h_to_4h",),
    feedforward_out=("mlp.dense_4h_to_h",),
    further_fields=("rope_theta", "rope_scaling", "ffn_hidden_size"),
)
