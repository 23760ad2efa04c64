"""A decoder that Transformers knows and no file here describes: everything about it is looked up or probed."""
from luthier.models.families.family import Family

FAMILY = Family(name="generic", model_types=(), kind="decoder", further_fields=("rope_theta", "rope_scaling"))
