"""gpt-oss: experts with biases, of which four answer for each token, windows on every other layer, a learned place where attention may rest."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="gpt_oss",
    model_types=("gpt_oss",),
    kind="decoder",
    gguf=True,
    keys_values=("self_attn.k_proj", "self_attn.v_proj"),
    attention_out=("self_attn.o_proj",),
    experts=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
    further_fields=("rope_theta", "rope_scaling", "experts_per_token", "swiglu_limit", "initial_context_length"),
)
