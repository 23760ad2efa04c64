"""ModernBERT: rotary positions, gated MLP, windows on two of three layers."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="modernbert",
    model_types=("modernbert",),
    kind="encoder",
    keys_values=("attn.Wqkv",),
    attention_out=("attn.Wo",),
    feedforward_in=("mlp.Wi",),
    feedforward_out=("mlp.Wo",),
    earlier_keys=False,
    further_fields=("global_rope_theta", "local_rope_theta", "position_embedding_type", "gradient_checkpointing"),
)
