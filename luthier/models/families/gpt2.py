"""GPT-2: learned absolute positions, tied head, weights stored transposed (Conv1D), queries, keys and values in one layer."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="gpt2",
    model_types=("gpt2",),
    kind="decoder",
    gguf=True,
    keys_values=("attn.c_attn",),
    attention_out=("attn.c_proj",),
    feedforward_in=("mlp.c_fc",),
    feedforward_out=("mlp.c_proj",),
    transposed=True,
    further_fields=("n_ctx",),
)
