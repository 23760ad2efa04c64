"""BART (and PEGASUS): encoder and decoder with absolute positions; one text in, another out."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="bart",
    model_types=("bart", "pegasus", "mbart"),
    kind="encoder_decoder",
    keys_values=("self_attn.k_proj", "self_attn.v_proj", "encoder_attn.k_proj", "encoder_attn.v_proj"),
    attention_out=("self_attn.out_proj", "encoder_attn.out_proj"),
    feedforward_in=("fc1",),
    feedforward_out=("fc2",),
    earlier_keys=False,
    further_fields=("add_bias_logits", "add_final_layer_norm", "normalize_before", "static_position_embeddings", "extra_pos_embeddings", "gradient_checkpointing",
                    "classif_dropout", "normalize_embedding", "force_bos_token_to_be_generated", "save_step"),
)
