"""DistilBERT: BERT with half the layers and no pooler."""
from luthier.models.families.family import Family

FAMILY = Family(
    name="distilbert",
    model_types=("distilbert",),
    kind="encoder",
    keys_values=("attention.k_lin", "attention.v_lin"),
    attention_out=("attention.out_lin",),
    feedforward_in=("ffn.lin1",),
    feedforward_out=("ffn.lin2",),
    earlier_keys=False,
    further_fields=("sinusoidal_pos_embds", "tie_weights_"),
)
