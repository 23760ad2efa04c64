"""BERT (and ELECTRA): bidirectional encoders with learned absolute positions, which get a head on top."""
from luthier.models.families.family import Family

BLOCK = {
    "keys_values": ("attention.self.key", "attention.self.value"),
    "attention_out": ("attention.output.dense",),
    "feedforward_in": ("intermediate.dense",),
    "feedforward_out": ("output.dense",),
    "further_fields": ("position_embedding_type", "gradient_checkpointing"),
}
"""Where the parts of a BERT block are."""

FAMILY = Family(name="bert", model_types=("bert", "electra"), kind="encoder", **BLOCK)
