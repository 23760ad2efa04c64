"""Language modelling: predict every token of a text from those before it."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from luthier.data.records import Text
from luthier.errors import RecipeError
from luthier.metrics import language
from luthier.runs.events import Event, Say, silent
from luthier.tasks.answers import Answer

CONTINUATION = 64
"""Most tokens of a continuation."""


@dataclass
class CausalLM:
    """Learns plain text: documents, books, code."""

    name: ClassVar[str] = "causal_lm"
    record: ClassVar[type] = Text
    headline: ClassVar[str] = "bits_per_character"
    writes: ClassVar[bool] = False

    control_tokens: bool = False
    """Read control tokens that are written in the text as control tokens; only for text that you wrote yourself."""
    stride: float = 0.5
    """By what share of the context windows move when a text is measured: 0.5 gives every token at least half a context before it, 1 is fastest and gives the first tokens of each window nothing."""

    def __post_init__(self):
        if not 0 < self.stride <= 1:
            raise ValueError(f"`stride` is a share of the context above 0 and at most 1, got {self.stride:g}")

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0) -> "CausalLM":
        """Nothing is left to settle."""
        return self

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """Greedy continuations."""
        from luthier.generation.local import generate  # torch

        prompts = [renderer.text(text) for text in texts]
        return [{"answer": found.text, "finish": found.finish} for found in generate(language_model, prompts, max_new_tokens=CONTINUATION)]

    def head(self, kind: str) -> str:
        if kind != "decoder":
            raise RecipeError(f"task causal_lm needs a decoder; this base is an {kind.replace('_', '-')}", code="R154", hint="choose a decoder such as spruce, or task: classification")
        return "causal"

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("base", "tuned")

    def identity(self, record: Text) -> str:
        return record.text

    def examples(self, records: Sequence[Text], renderer):
        return renderer.documents([record.text for record in records], control_tokens=self.control_tokens)

    def answers(self, language_model, renderer, records: Sequence[Text], *, shots=None, say: Say = silent) -> list[Answer]:
        """The likelihood of each text; there is nothing to write."""
        from luthier.tasks.likelihood import nll_of  # torch

        step = max(1, min(renderer.context - 1, round(self.stride * renderer.context)))
        prepared = [item.examples for item in renderer.documents([record.text for record in records], control_tokens=self.control_tokens, stride=step)]
        rows = [(example.tokens, example.weights) for examples in prepared for example in examples]
        values = iter(nll_of(language_model, rows))
        answers = []
        for examples in prepared:
            nll = sum(next(values) for _ in examples)
            answers.append(Answer("", nll=nll, learned_tokens=sum(example.learned for example in examples), tokens_in=sum(len(example.tokens) for example in examples)))
        say(Event("progress", data={"task": "likelihood", "done": len(records), "total": len(records), "unit": "texts"}))
        return answers

    def target(self, record: Text) -> str:
        return ""

    def question(self, record: Text) -> str:
        return record.text

    def score(self, answers: Sequence[Answer], records: Sequence[Text]) -> dict:
        characters, utf8_bytes = [len(record.text) for record in records], [len(record.text.encode()) for record in records]
        nlls, tokens = [answer.nll for answer in answers], [answer.learned_tokens for answer in answers]
        return {
            "bits_per_character": language.bits_per_character(nlls, characters), "bits_per_byte": language.bits_per_byte(nlls, utf8_bytes),
            "perplexity": language.perplexity(nlls, tokens),
        }
