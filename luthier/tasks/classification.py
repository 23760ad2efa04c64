"""Classification: the one label a text deserves. A decoder learns to write the label; an encoder gets a head."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from luthier.data.records import Conversation, Labelled, Message
from luthier.metrics import classification
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer


@dataclass
class Classification:
    """Learns one label per text."""

    name: ClassVar[str] = "classification"
    record: ClassVar[type] = Labelled
    headline: ClassVar[str] = "macro_f1"
    writes: ClassVar[bool] = False

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0) -> "PreparedClassification":
        """The task with the labels that exist."""
        return PreparedClassification(list(labels))

    def head(self, kind: str) -> str:
        return "causal" if kind == "decoder" else "sequence_class"

    def contestants(self, kind: str) -> tuple[str, ...]:
        own = ("base", "prompt", "few_shot") if kind == "decoder" else ("nearest_embedding", "probe")
        return ("majority", "nearest", "tfidf", *own, "tuned")

    def identity(self, record: Labelled) -> str:
        return record.text

    def conversation(self, record: Labelled) -> Conversation:
        """The record as a decoder sees it: the text asks, the label answers."""
        return Conversation((Message("user", record.text), Message("assistant", record.label)), origin=record.origin, group=record.group)

    def prompt_messages(self, record: Labelled, shots: Sequence[Labelled]) -> tuple[Message, ...]:
        """The text as a question, led by labelled examples (most similar last)."""
        shown = tuple(message for shot in reversed(shots) for message in self.conversation(shot).messages)
        return (*shown, Message("user", record.text))

    def target(self, record: Labelled) -> str:
        return record.label

    def question(self, record: Labelled) -> str:
        return record.text

    def score(self, answers: Sequence[Answer], records: Sequence[Labelled]) -> dict:
        return classification.scores([record.label for record in records], [answer.label for answer in answers])


@dataclass
class PreparedClassification(Classification):
    """Classification with its labels."""

    labels: list[str] = field(default_factory=list)
    """All labels, in the order of a class head's outputs."""

    def examples(self, records: Sequence[Labelled], renderer):
        if renderer.head == "causal":
            return renderer.conversations([self.conversation(record) for record in records])
        return [renderer.labelled(record.text, self.labels.index(record.label)) for record in records]

    def answers(self, language_model, renderer, records: Sequence[Labelled], *, shots=None, say: Say = silent) -> list[Answer]:
        """The likeliest label of each text, with the probability of every label."""
        from luthier.tasks.asking import classified, fitting_prompts, labelled_by_likelihood  # torch

        if renderer.head != "causal":
            return classified(language_model, [renderer.labelled(record.text, 0) for record in records], self.labels, self.positions(records), say=say)
        label_tokens = renderer.answers(self.labels)
        room = language_model.context - max(len(tokens) for tokens in label_tokens)
        prompts = fitting_prompts(renderer, records, shots, self.prompt_messages, room)
        return labelled_by_likelihood(language_model, prompts, self.labels, label_tokens, self.positions(records), say=say)

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """The likeliest label of each text and its probability."""
        answers = self.answers(language_model, renderer, [Labelled(text, "") for text in texts], say=say)
        return [{"label": answer.label, "confidence": round(answer.probabilities[answer.label], 4)} for answer in answers]

    def positions(self, records: Sequence[Labelled]) -> list[int | None]:
        """Index of each record's label among the labels; None where it is not one of them."""
        index = {label: position for position, label in enumerate(self.labels)}
        return [index.get(record.label) for record in records]
