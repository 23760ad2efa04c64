"""Classification: the one label that a text, or a pair of texts, deserves, or all labels that apply. A decoder learns to write the one label; else there is a head."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from luthier.data.records import Conversation, Labelled, Message, MultiLabelled, both_texts
from luthier.errors import RecipeError
from luthier.metrics import calibration, classification
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer

UNEVEN = 10
"""From this ratio of the most to the least frequent label on, `auto` weighs labels."""


@dataclass
class Classification:
    """Learns labels of texts."""

    name: ClassVar[str] = "classification"
    headline: ClassVar[str] = "macro_f1"
    writes: ClassVar[bool] = False

    many: bool = False
    """Several labels may apply to one text, or none."""
    class_weights: Literal["auto", "balanced", "none"] = "auto"
    """How much rows count by their label: `balanced` gives every label the same sum, `auto` does so where the most frequent label has ten times the rows of the rarest."""
    calibrate: bool = True
    """Fit a temperature on the validation rows, so that a confidence of 80 % is right four times out of five; it never changes which label is chosen."""

    @property
    def record(self) -> type:
        """The record type it learns from."""
        return MultiLabelled if self.many else Labelled

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0):
        """The task with the labels that exist."""
        from luthier.tasks.multilabel import PreparedMultiLabel

        kind = PreparedMultiLabel if self.many else PreparedClassification
        return kind(self.many, self.class_weights, self.calibrate, list(labels))

    def head(self, kind: str) -> str:
        if kind not in ("decoder", "encoder"):
            raise RecipeError(f"task classification needs an encoder or a decoder; this base is an {kind.replace('_', '-')}", code="R154", hint="choose an encoder such as a BERT, or task: seq2seq")
        return "multi_label" if self.many else "causal" if kind == "decoder" else "sequence_class"

    def contestants(self, kind: str) -> tuple[str, ...]:
        own = () if self.many else ("base", "prompt", "few_shot") if kind == "decoder" else ("nearest_embedding", "probe")
        return ("majority", "nearest", "tfidf", *own, "tuned")

    def identity(self, record) -> str:
        return both_texts(record)

    def target(self, record) -> str:
        return record.label

    def question(self, record) -> str:
        return both_texts(record)


@dataclass
class PreparedClassification(Classification):
    """Classification with its labels."""

    labels: list[str] = field(default_factory=list)
    """All labels, in the order of a class head's outputs."""
    weights: dict[str, float] = field(default_factory=dict)
    """How much a row of each label counts; empty: all alike."""
    temperature: float = 1.0
    """Divides log-probabilities; fitted on validation rows."""

    # ---- what the data says ---------------------------------------------------------------------
    def seen(self, counts: Mapping[str, int]) -> tuple["PreparedClassification", str]:
        """The task with its class weights, from the rows that each label has in training, and the sentence that announces them."""
        counts = {label: count for label, count in counts.items() if count}
        uneven = len(counts) > 1 and max(counts.values()) >= UNEVEN * min(counts.values())
        if self.class_weights == "none" or (self.class_weights == "auto" and not uneven) or not counts:
            return self, ""
        weights = {label: sum(counts.values()) / (len(counts) * count) for label, count in counts.items()}
        largest, smallest = (max if side else min for side in (True, False))
        most, least = largest(counts, key=counts.get), smallest(counts, key=counts.get)
        said = f"labels are weighed so that each counts the same: a row of `{least}` ({counts[least]:,} rows) counts {weights[least]:.3g}, one of `{most}` ({counts[most]:,} rows) {weights[most]:.3g}; task.class_weights=none weighs all rows alike"
        return replace(self, weights=weights), said

    # ---- learning -------------------------------------------------------------------------------
    def conversation(self, record: Labelled) -> Conversation:
        """The record as a decoder sees it: the text asks, the label answers and counts as its weight says."""
        return Conversation((Message("user", both_texts(record)), Message("assistant", record.label, self.weights.get(record.label, 1.0))), origin=record.origin, group=record.group)

    def examples(self, records: Sequence[Labelled], renderer):
        if renderer.head == "causal":
            return renderer.conversations([self.conversation(record) for record in records])
        return [renderer.labelled(record.text, self.labels.index(record.label), pair=record.pair, share=self.weights.get(record.label, 1.0)) for record in records]

    # ---- asking ---------------------------------------------------------------------------------
    def prompt_messages(self, record: Labelled, shots: Sequence[Labelled]) -> tuple[Message, ...]:
        """The text as a question, led by labelled examples (most similar last)."""
        shown = tuple(message for shot in reversed(shots) for message in self.conversation(shot).messages)
        return (*shown, Message("user", both_texts(record)))

    def logprobs(self, language_model, renderer, records: Sequence[Labelled], shots, say: Say):
        """Log-probabilities of the labels [N, L], not normalised, with the tokens read and the seconds of each row."""
        from luthier.tasks.asking import fitting_prompts, label_logprobs, row_outputs  # torch

        if renderer.head != "causal":
            prepared = [renderer.labelled(record.text, 0, pair=record.pair) for record in records]
            logits_NL, seconds = row_outputs(language_model, prepared, say=say)
            return logits_NL, [len(item.examples[0].tokens) for item in prepared], seconds
        label_tokens = renderer.answers(self.labels)
        room = language_model.context - max(len(tokens) for tokens in label_tokens)
        prompts = fitting_prompts(renderer, records, shots, self.prompt_messages, room)
        logprobs_NL, seconds = label_logprobs(language_model, prompts, label_tokens, say=say)
        return logprobs_NL, [len(prompt) for prompt in prompts], seconds

    def answers(self, language_model, renderer, records: Sequence[Labelled], *, shots=None, say: Say = silent) -> list[Answer]:
        """The likeliest label of each text, with the probability of every label."""
        from luthier.tasks.asking import with_probabilities

        logprobs_NL, tokens, seconds = self.logprobs(language_model, renderer, records, shots, say)
        rows = zip(logprobs_NL / self.temperature, self.positions(records), tokens, seconds, strict=True)
        return [with_probabilities(logprobs_L, self.labels, position, read, taken) for logprobs_L, position, read, taken in rows]

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """The likeliest label of each text and its probability; two texts stand apart by a tab."""
        answers = self.answers(language_model, renderer, [Labelled(*halves(text)) for text in texts], say=say)
        return [{"label": answer.label, "confidence": round(answer.probabilities[answer.label], 4)} for answer in answers]

    def positions(self, records: Sequence[Labelled]) -> list[int | None]:
        """Index of each record's label among the labels; None where it is not one of them."""
        index = {label: position for position, label in enumerate(self.labels)}
        return [index.get(record.label) for record in records]

    # ---- judging --------------------------------------------------------------------------------
    def score(self, answers: Sequence[Answer], records: Sequence[Labelled]) -> dict:
        found = classification.scores([record.label for record in records], [answer.label for answer in answers])
        if all(answer.probabilities and answer.label in answer.probabilities for answer in answers):
            right = [float(answer.label == record.label) for answer, record in zip(answers, records, strict=True)]
            found["ece"] = calibration.ece([answer.probabilities[answer.label] for answer in answers], right)
        return found

    def calibration(self, language_model, renderer, records: Sequence[Labelled], *, say: Say = silent) -> dict:
        """A temperature fitted on validation rows, and what it changes there; empty where it is not wanted."""
        import numpy as np

        known = [record for record in records if record.label in self.labels]
        if not self.calibrate or len(known) < 20:
            return {}
        logprobs_NL, _, _ = self.logprobs(language_model, renderer, known, None, say)
        target_N = np.array(self.positions(known))
        temperature = calibration.fit_temperature(logprobs_NL, target_N)
        before, after = (self.error(logprobs_NL, target_N, each) for each in (1.0, temperature))
        said = f"temperature {temperature:.3g}, fitted on {len(known):,} validation rows: calibration error {before:.3f} before, {after:.3f} after"
        return {"temperature": temperature, "rows": len(known), "ece_before": before, "ece_after": after, "sentence": said}

    @staticmethod
    def error(logprobs_NL, target_N, temperature: float) -> float:
        """Expected calibration error at a temperature."""
        import numpy as np

        scaled_NL = logprobs_NL / temperature
        shares_NL = np.exp(scaled_NL - np.logaddexp.reduce(scaled_NL, axis=1)[:, None])
        return calibration.ece(shares_NL.max(1), (shares_NL.argmax(1) == target_N).astype(float)).value

    def calibrated(self, facts: Mapping) -> "PreparedClassification":
        """The task with what was fitted."""
        return replace(self, temperature=float(facts.get("temperature", 1.0)))


def halves(text: str) -> tuple:
    """The fields of a record without its label, from a text in which a tab may part two."""
    first, tab, second = text.partition("\t")
    return (first, "", None, None, second) if tab and second.strip() else (text, "")
