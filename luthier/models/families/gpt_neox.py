"""GPT-NeoX (Pythia): attention and MLP in parallel, partly rotary positions, untied head."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="gpt_neox",
    model_types=("gpt_neox",),
    kind="decoder",
    gguf=True,
    keys_values=("attention.query_key_value",),
    attention_out=("attention.dense",),
    feedforward_in=("mlp.dense_h_to_4h",),
    feedforward_out=("mlp.dense_4h_to_h",),
    further_fields=("rotary_pct", "rotary_emb_base", "rope_scaling", "rope_theta"),
)
