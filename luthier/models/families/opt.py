"""OPT: learned absolute positions, ReLU, biased layers."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="opt",
    model_types=("opt",),
    kind="decoder",
    keys_values=("self_attn.k_proj", "self_attn.v_proj"),
    attention_out=("self_attn.out_proj",),
    feedforward_in=("fc1",),
    feedforward_out=("fc2",),
    reader="decoder",
    further_fields=("activation_dropout", "prefix"),
)
