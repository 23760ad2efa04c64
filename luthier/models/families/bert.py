"""BERT and its kin: bidirectional encoders that get a head on top."""
from luthier.models.families.family import Family


def context(config) -> int:
    """Positions that text may use; RoBERTa's kin start counting behind the padding id."""
    offset = config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    return config.max_position_embeddings - offset


FAMILY = Family(
    name="bert",
    model_types=("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert"),
    kind="encoder",
    linear_layers=(),
    context=context,
    further_fields=("position_embedding_type", "gradient_checkpointing", "global_rope_theta", "local_rope_theta"),
)
