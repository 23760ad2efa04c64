"""RoBERTa and its kin: BERT's block; positions are counted from behind the padding id."""
from luthier.models.families.bert import BLOCK
from luthier.models.families.family import Family

FAMILY = Family(
    name="roberta",
    model_types=("roberta", "xlm-roberta", "camembert"),
    kind="encoder",
    context=lambda config: config.max_position_embeddings - config.pad_token_id - 1,
    **BLOCK,
)
