"""All facts about one model family in one file; the dict maps the `model_type` of a configuration to its family."""
from luthier.models.families import (
    bart,
    bert,
    bloom,
    deberta,
    deepseek,
    distilbert,
    falcon,
    gemma,
    generic,
    gpt2,
    gpt_neox,
    gpt_oss,
    granite,
    llama,
    mistral,
    modernbert,
    opt,
    phi,
    qwen,
    roberta,
    t5,
)
from luthier.models.families.family import Family

MEMBERS = (
    llama.FAMILY, mistral.FAMILY, mistral.MIXTRAL, qwen.FAMILY, qwen.MOE, gemma.FAMILY, phi.FAMILY, gpt2.FAMILY, gpt_neox.FAMILY, falcon.FAMILY, opt.FAMILY, bloom.FAMILY,
    granite.FAMILY, deepseek.FAMILY, gpt_oss.FAMILY, bert.FAMILY, roberta.FAMILY, distilbert.FAMILY, deberta.FAMILY, modernbert.FAMILY, t5.FAMILY, bart.FAMILY,
)
FAMILIES: dict[str, Family] = {model_type: member for member in MEMBERS for model_type in member.model_types}


def family_of(model_type: str) -> Family:
    """The family of a `model_type`; the generic one, whose facts are probed, where none is written down."""
    return FAMILIES.get(model_type, generic.FAMILY)


__all__ = ["FAMILIES", "MEMBERS", "Family", "family_of"]
