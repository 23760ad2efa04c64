"""Masked language modelling: learn words from both sides of them (arXiv:1810.04805); what an encoder learns a field's language by."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from luthier.data.records import Text
from luthier.errors import RecipeError
from luthier.metrics import language
from luthier.metrics.metric import from_parts, ratio
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer

FILLS = 5
"""Words offered for each mask."""


@dataclass
class MaskedLM:
    """Learns to fill in words that were masked."""

    name: ClassVar[str] = "masked_lm"
    record: ClassVar[type] = Text
    headline: ClassVar[str] = "pseudo_perplexity"
    writes: ClassVar[bool] = False

    rate: float = 0.15
    """Share of the tokens that are asked for."""
    whole_words: bool = False
    """Mask all sub-words of a word together, which is harder and teaches more."""
    positions: int = 8
    """Tokens of a text that are masked, one at a time, to measure its pseudo-perplexity, evenly spread; 0 masks each in turn."""

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0) -> "MaskedLM":
        """Nothing is left to settle."""
        return self

    def head(self, kind: str) -> str:
        if kind != "encoder":
            raise RecipeError(f"task masked_lm needs an encoder; this base is a {kind.replace('_', '-')}", code="R154", hint="choose an encoder such as a BERT, or task: causal_lm")
        return "masked"

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("base", "tuned")

    def identity(self, record: Text) -> str:
        return record.text

    def examples(self, records: Sequence[Text], renderer):
        return renderer.maskable([record.text for record in records])

    def noise(self, renderer, seed: int):
        """The masks of every step."""
        masking = renderer.masking(rate=self.rate, whole_words=self.whole_words)
        return lambda step: masking.at(seed, step)

    def answers(self, language_model, renderer, records: Sequence[Text], *, shots=None, say: Say = silent) -> list[Answer]:
        """How likely tokens are when they alone are masked; there is nothing to write."""
        from luthier.tasks.filling import hidden_one_by_one  # torch

        return hidden_one_by_one(language_model, renderer, self.examples(records, renderer), positions=self.positions, say=say)

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """The likeliest words for each mask: write `[MASK]` (or the tokenizer's own mask) where a word is missing."""
        from luthier.tasks.filling import filled  # torch

        return filled(language_model, renderer, texts, count=FILLS)

    def target(self, record: Text) -> str:
        return ""

    def question(self, record: Text) -> str:
        return record.text

    def score(self, answers: Sequence[Answer], records: Sequence[Text]) -> dict:
        nlls, tokens = [answer.nll for answer in answers], [answer.learned_tokens for answer in answers]
        perplexity = language.perplexity(nlls, tokens)
        parts_NS = language.columns([answer.hits for answer in answers], tokens)
        return {
            "pseudo_perplexity": from_parts("pseudo_perplexity", perplexity.parts_NS, language.exp_ratio, per_row=perplexity.per_row, higher_is_better=False),
            "masked_accuracy": from_parts("masked_accuracy", parts_NS, ratio, per_row=ratio(parts_NS)),
        }
