"""BLOOM: ALiBi instead of positions, a norm behind the embedding."""
from luthier.models.families.family import Family

CONTEXT = 2048
"""Length of its training texts; ALiBi itself has no end, and a configuration need not name one."""

FAMILY = Family(
    name="bloom",
    model_types=("bloom",),
    kind="decoder",
    gguf=True,
    keys_values=("self_attention.query_key_value",),
    attention_out=("self_attention.dense",),
    feedforward_in=("mlp.dense_h_to_4h",),
    feedforward_out=("mlp.dense_4h_to_h",),
    context=lambda config: CONTEXT,
    further_fields=("seq_length", "offset_alibi", "skip_bias_add", "skip_bias_add_qkv", "attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion",
                    "unk_token_id", "n_inner"),
)
