"""DeepSeek (2, 3): keys and values through a narrow layer, many small experts and one that every token shares."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="deepseek",
    model_types=("deepseek_v2", "deepseek_v3"),
    kind="decoder",
    gguf=True,
    keys_values=("self_attn.kv_b_proj",),
    attention_out=("self_attn.o_proj",),
    experts=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
    earlier_keys=False,
    further_fields=("rope_theta", "rope_scaling", "moe_layer_freq", "ep_size", "aux_loss_alpha", "seq_aux", "scoring_func", "topk_method", "num_nextn_predict_layers"),
)
