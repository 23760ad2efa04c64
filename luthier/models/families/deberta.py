"""DeBERTa (1, 2, 3): content and relative position are compared apart."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="deberta",
    model_types=("deberta", "deberta-v2"),
    kind="encoder",
    keys_values=("attention.self.in_proj", "attention.self.key_proj", "attention.self.value_proj"),
    attention_out=("attention.output.dense",),
    feedforward_in=("intermediate.dense",),
    feedforward_out=("output.dense",),
    earlier_keys=False,
    further_fields=(
        "position_biased_input", "max_relative_positions", "position_buckets", "norm_rel_ebd", "share_att_key", "pooler_hidden_size", "pooler_size", "pooler_dropout",
        "pooler_hidden_act", "padding_idx", "attention_head_size", "conv_kernel_size", "conv_act", "conv_groups", "talking_head",
    ),
)
