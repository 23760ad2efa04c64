"""All facts about one model family in one file; the dict maps the `model_type` of a configuration to its family."""
from luthier.models.families import bert, gemma, generic, gpt2, gpt_neox, granite, llama, mistral, phi, qwen
from luthier.models.families.family import Family

FAMILIES: dict[str, Family] = {
    model_type: member.FAMILY
    for member in (llama, gpt2, qwen, mistral, gemma, bert, phi, gpt_neox, granite)
    for model_type in member.FAMILY.model_types
}


def family_of(model_type: str) -> Family:
    """The family of a `model_type`; the generic one, whose facts are probed, where none is written down."""
    return FAMILIES.get(model_type, generic.FAMILY)


__all__ = ["FAMILIES", "Family", "family_of"]
