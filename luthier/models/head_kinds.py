"""The kinds of head by name: which network of Transformers brings each, whether it is learned anew, and what its outputs are called."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import transformers

from luthier.models.heads import CausalHead, Head, SequenceClassHead
from luthier.models.label_heads import MultiLabelHead, RegressionHead, TokenClassHead
from luthier.models.written_heads import MaskedHead, Seq2SeqHead


@dataclass(frozen=True)
class HeadKind:
    """One kind of head."""

    auto: str
    """The Auto class of Transformers that builds a network with it."""
    make: Callable[[], Head]
    """The head itself."""
    outputs: Callable[[Sequence[str]], list[str]] | None = None
    """From the labels of the data to the names of the head's outputs; None where outputs are words of the vocabulary."""
    fresh: bool = False
    """Whether its weights are usually in no file, so that they are drawn anew and learned."""
    kinds: tuple[str, ...] = ("decoder", "encoder")
    """Kinds of family that can carry it."""
    configuration: dict = field(default_factory=dict)
    """Fields that the configuration gets."""


def outside_and_spans(types: Sequence[str]) -> list[str]:
    """The tags of IOB2 over these types of span."""
    return ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]


HEAD_KINDS: dict[str, HeadKind] = {
    "causal": HeadKind("AutoModelForCausalLM", CausalHead, kinds=("decoder",)),
    "masked": HeadKind("AutoModelForMaskedLM", MaskedHead, kinds=("encoder",)),
    "seq2seq": HeadKind("AutoModelForSeq2SeqLM", Seq2SeqHead, kinds=("encoder_decoder",)),
    "sequence_class": HeadKind("AutoModelForSequenceClassification", SequenceClassHead, list, True, configuration={"problem_type": "single_label_classification"}),
    "multi_label": HeadKind("AutoModelForSequenceClassification", MultiLabelHead, list, True, configuration={"problem_type": "multi_label_classification"}),
    "regression": HeadKind("AutoModelForSequenceClassification", RegressionHead, lambda labels: ["value"], True, configuration={"problem_type": "regression"}),
    "token_class": HeadKind("AutoModelForTokenClassification", TokenClassHead, outside_and_spans, True),
}


def auto_class(head: str):
    """The Auto class of a kind of head."""
    return getattr(transformers, HEAD_KINDS[head].auto)


def lacks(architecture: str, kind: str, head: str) -> str | None:
    """Why an architecture of this kind of family cannot carry a head; None where it can."""
    if kind not in HEAD_KINDS[head].kinds:
        return f"an {kind.replace('_', '-')} carries no {head} head" if kind[0] == "e" else f"a {kind} carries no {head} head"
    if architecture in transformers.CONFIG_MAPPING and transformers.CONFIG_MAPPING[architecture] not in auto_class(head)._model_mapping:
        return f"Transformers has no {head} head for {architecture}"
    return None
