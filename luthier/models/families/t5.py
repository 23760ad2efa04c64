"""T5: encoder and decoder with relative positions; one text in, another out."""
from luthier.models.families.family import Family

CONTEXT = 512
"""Length of its training texts; relative positions have no end, and a configuration need not name one."""

FAMILY = Family(
    name="t5",
    model_types=("t5", "mt5"),
    kind="encoder_decoder",
    keys_values=("layer.0.SelfAttention.k", "layer.0.SelfAttention.v", "layer.1.EncDecAttention.k", "layer.1.EncDecAttention.v"),
    attention_out=("layer.0.SelfAttention.o", "layer.1.EncDecAttention.o"),
    feedforward_in=tuple(f"layer.{number}.DenseReluDense.{name}" for number in (1, 2) for name in ("wi", "wi_0", "wi_1")),
    feedforward_out=("layer.1.DenseReluDense.wo", "layer.2.DenseReluDense.wo"),
    context=lambda config: CONTEXT,
    earlier_keys=False,
    further_fields=("n_positions", "decoder_start_token_id", "output_past", "feed_forward_proj"),
)
