"""GPT-2: learned absolute positions, tied head, weights stored transposed (Conv1D)."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="gpt2",
    model_types=("gpt2",),
    kind="decoder",
    linear_layers=("c_attn", "c_proj", "c_fc"),
    further_fields=("n_ctx",),
)
