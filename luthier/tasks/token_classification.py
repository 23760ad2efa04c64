"""Token classification: find the spans in a text that mean something, and say what each is."""
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from luthier.data.records import Span, Tagged
from luthier.data.words import spans_of, words_of
from luthier.errors import RecipeError
from luthier.metrics import spans as figures
from luthier.runs.events import Event, Say, silent
from luthier.tasks.answers import Answer

ROWS_AT_ONCE = 256


@dataclass
class TokenClassification:
    """Learns a tag for every word, and with them the spans of a text: names, amounts, parts of speech."""

    name: ClassVar[str] = "token_classification"
    record: ClassVar[type] = Tagged
    headline: ClassVar[str] = "span_f1"
    writes: ClassVar[bool] = False

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0) -> "PreparedTokenClassification":
        """The task with the types of span that exist."""
        return PreparedTokenClassification(list(labels))

    def head(self, kind: str) -> str:
        if kind not in ("decoder", "encoder"):
            raise RecipeError(f"task token_classification needs an encoder or a decoder; this base is an {kind.replace('_', '-')}", code="R154", hint="choose an encoder such as a BERT")
        return "token_class"

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("dictionary", "word_features", "tuned")

    def identity(self, record: Tagged) -> str:
        return record.text

    def target(self, record: Tagged) -> str:
        return written(record.text, spans_of(record))

    def question(self, record: Tagged) -> str:
        return record.text

    def score(self, answers: Sequence[Answer], records: Sequence[Tagged]) -> dict:
        wanted = [figures.chunks(record.tags) for record in records]
        given = [[(first, last, kind) for first, last, kind, *_ in answer.spans] for answer in answers]
        return figures.scores(wanted, given)

    def details(self, record: Tagged, answer: Answer) -> dict:
        """The spans wanted and given, in characters."""
        given = [[record.words[first][0], record.words[last - 1][1], kind, *rest] for first, last, kind, *rest in answer.spans]
        return {"wanted_spans": [[span.start, span.end, span.label] for span in spans_of(record)], "spans": given}


@dataclass
class PreparedTokenClassification(TokenClassification):
    """Token classification with its types."""

    types: list[str] = field(default_factory=list)
    """All types of span, in the order of the head's outputs."""

    @property
    def tags(self) -> list[str]:
        """The head's outputs, in order: IOB2 over the types."""
        return ["O", *(f"{prefix}-{name}" for name in self.types for prefix in "BI")]

    def examples(self, records: Sequence[Tagged], renderer):
        number = {tag: index for index, tag in enumerate(self.tags)}
        return renderer.tagged([(record.text, record.words, [number[tag] for tag in record.tags]) for record in records])

    def answers(self, language_model, renderer, records: Sequence[Tagged], *, shots=None, say: Say = silent) -> list[Answer]:
        """The likeliest legal tags of each text as spans, and how likely the wanted tags were."""
        from luthier.generation.tags import legal, tag_logprobs  # torch

        answers: list[Answer] = []
        for start in range(0, len(records), ROWS_AT_ONCE):
            part, began = records[start : start + ROWS_AT_ONCE], time.perf_counter()
            prepared = renderer.tagged([(record.text, record.words, range(len(record.words))) for record in part])
            found = tag_logprobs(language_model, [item.examples for item in prepared], [len(record.words) for record in part])
            for record, item, logprobs_WL in zip(part, prepared, found, strict=True):
                answers.append(self.answer(record, logprobs_WL, legal(logprobs_WL, self.tags), sum(len(example.tokens) for example in item.examples)))
            seconds = (time.perf_counter() - began) / len(part)
            for answer in answers[start:]:
                answer.seconds = seconds
            say(Event("progress", data={"task": "answers", "done": len(answers), "total": len(records), "unit": "answers"}))
        return answers

    def answer(self, record: Tagged, logprobs_WL, chosen: Sequence[int], tokens_in: int) -> Answer:
        """Spans with the mean probability (geometric) of their tags; `nll` where the record's tags are among the head's outputs."""
        tags, number = self.tags, {tag: index for index, tag in enumerate(self.tags)}
        spans = []
        for first, last, kind in figures.chunks([tags[index] for index in chosen]):
            sure = sum(float(logprobs_WL[word, chosen[word]]) for word in range(first, last)) / (last - first)
            spans.append([first, last, kind, round(math.exp(sure), 4)])
        known = record.tags and all(tag in number for tag in record.tags)
        nll = -sum(float(logprobs_WL[word, number[tag]]) for word, tag in enumerate(record.tags)) if known else None
        text = written(record.text, [Span(record.words[first][0], record.words[last - 1][1], kind) for first, last, kind, _ in spans])
        return Answer(text, spans=spans, nll=nll, learned_tokens=len(record.words), tokens_in=tokens_in, tokens_out=len(record.words))

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """The spans of new texts with their places in characters."""
        records = [Tagged(text, tuple(words_of(text)), ()) for text in texts]
        found = []
        for record, answer in zip(records, self.answers(language_model, renderer, records, say=say), strict=True):
            places = [(record.words[first][0], record.words[last - 1][1], kind, sure) for first, last, kind, sure in answer.spans]
            spans = [{"start": start, "end": end, "label": kind, "text": record.text[start:end], "confidence": sure} for start, end, kind, sure in places]
            found.append({"answer": answer.text, "spans": spans})
        return found


def written(text: str, spans: Sequence[Span]) -> str:
    """Spans as a person reads them."""
    return "; ".join(f"{text[span.start : span.end]} ({span.label})" for span in spans) or "nothing marked"
