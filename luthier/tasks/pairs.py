"""A task read through pairs of answers: which of two answers does a model prefer, on prompts that it never saw?

A model that writes prefers the answer it finds likelier per token (so that length alone decides nothing); a model with a score for a head prefers the
answer it scores higher. What it learns from a pair are two examples, the chosen answer (label 1) and the rejected (label 0).
"""
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.data.records import Conversation, Message, Preference
from luthier.errors import RecipeError
from luthier.metrics.calibration import ece, fit_sigmoid_temperature
from luthier.metrics.metric import mean
from luthier.metrics.preferences import length_bias
from luthier.preparation.examples import Prepared
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer

SCORE = ("score",)
"""The one output of a head that scores."""
FEWEST_TO_FIT = 20
"""Validation pairs below which no temperature is fitted."""


def answering(task, objective: str) -> None:
    """RecipeError unless the task is to write an answer to a conversation, which is what preferences and rewards are about."""
    if not (task.writes and task.record is Conversation):
        from luthier.tasks import TASKS

        legal = ", ".join(name for name, kind in TASKS.items() if kind.writes and kind.record is Conversation)
        raise RecipeError(f"objective {objective} judges written answers, and task {task.name} writes none", code="R190", field="objective", hint=f"use it with task: {legal}; or take objective: sft")


def paired(task, objective: str, *, scored: bool = False, relative: bool = False) -> "Pairs":
    """The task read through pairs; `scored`: by a head that gives one score; `relative`: what is learned is measured from the starting model."""
    answering(task, objective)
    return Pairs(task, scored, relative)


@dataclass
class Pairs:
    """Learns which of two answers people preferred."""

    inner: object
    """The task whose answers are compared."""
    scored: bool = False
    """Whether a head scores answers instead of writing them."""
    relative: bool = False
    """Whether likelihoods are compared with those of the starting model too, for that is what is learned."""
    temperature: float = 1.0
    """Scores are divided by it before they become a probability; fitted on validation pairs."""

    record = Preference
    headline = "preference_accuracy"

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def writes(self) -> bool:
        return not self.scored

    @property
    def labels(self) -> tuple[str, ...]:
        """Outputs of the head that do not come from the data."""
        return SCORE if self.scored else ()

    def head(self, kind: str) -> str:
        return "sequence_class" if self.scored else self.inner.head(kind)

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0) -> "Pairs":
        return replace(self, inner=self.inner.prepared(labels=labels, max_new_tokens=max_new_tokens))

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("coin", "length", "tuned") if self.scored else ("coin", "length", "base", "tuned")

    def identity(self, record: Preference) -> str:
        return "\n".join(f"{message.role}: {message.content}" for message in record.messages if message.role != "assistant")

    # ---- learning -----------------------------------------------------------------------------
    def examples(self, records: Sequence[Preference], renderer) -> list[Prepared]:
        """Two examples a pair; both or none."""
        sides = [answered(record.messages, answer) for record in records for answer in (record.chosen, record.rejected)]
        prepared = renderer.conversations(sides, together=2)
        return [both(*prepared[at : at + 2]) for at in range(0, len(prepared), 2)]

    # ---- answering ----------------------------------------------------------------------------
    def answers(self, language_model, renderer, records: Sequence[Preference], *, shots=None, say: Say = silent) -> list[Answer]:
        """Which side the model prefers, and by how much: nats a token, or points of the score."""
        from luthier.tasks.comparing import liked  # torch

        prepared = self.examples(records, renderer)
        return [self.preference(record, *values) for record, values in zip(records, liked(language_model, prepared, say=say), strict=True)]

    def preference(self, record: Preference, chosen: float, rejected: float, nll: float | None, rejected_nll: float | None, tokens: int, seconds: float) -> Answer:
        difference = chosen - rejected
        label = "chosen" if difference > 0 else "rejected" if difference < 0 else "neither"
        text = {"chosen": record.chosen, "rejected": record.rejected}.get(label, "")
        share = 1 / (1 + math.exp(-max(-60.0, min(60.0, difference / self.temperature))))
        probabilities = {"chosen": share, "rejected": 1 - share}
        return Answer(text, label=label, probabilities=probabilities, value=difference, nll=nll, rejected_nll=rejected_nll if self.relative else None, learned_tokens=tokens, tokens_in=tokens, seconds=seconds)

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """What the task itself does with new inputs; a model that scores is asked for the score of a text as an answer."""
        if not self.scored:
            return self.inner.predict(language_model, renderer, texts, say=say)
        from luthier.tasks.comparing import scores

        return [{"score": value} for value in scores(language_model, [renderer.text(text) for text in texts])]

    def target(self, record: Preference) -> str:
        return "chosen"

    def question(self, record: Preference) -> str:
        """What was asked last, and both answers; what was said before it is counted."""
        before = f"[after {len(record.messages) - 1} turns] " if len(record.messages) > 1 else ""
        return f"{before}{record.messages[-1].content}\n\n[chosen] {record.chosen}\n\n[rejected] {record.rejected}"

    def details(self, record: Preference, answer: Answer) -> dict:
        """By how much the chosen answer is preferred, and by how many characters it is longer."""
        margin = {} if answer.value is None else {"margin": answer.value}
        return {**margin, "longer": longer(record)}

    def score(self, answers: Sequence[Answer], records: Sequence[Preference]) -> dict:
        """Share of pairs in which the chosen answer is preferred (half a point for a tie), the mean margin, calibration, and the part that length plays."""
        right = [1.0 if answer.label == "chosen" else 0.5 if answer.label == "neither" else 0.0 for answer in answers]
        metrics = {"preference_accuracy": mean("preference_accuracy", right)}
        if all(answer.probabilities and answer.value is not None for answer in answers):
            share = [answer.probabilities["chosen"] for answer in answers]
            metrics["preference_margin"] = mean("preference_margin", [answer.value for answer in answers])
            metrics["brier"] = mean("brier", [(1 - p) ** 2 for p in share], higher_is_better=False)
            metrics["ece"] = ece([max(p, 1 - p) for p in share], right)
        if bias := length_bias(right, [longer(record) for record in records]):
            metrics["length_bias"] = bias
        return metrics

    # ---- how sure -----------------------------------------------------------------------------
    def calibration(self, language_model, renderer, records: Sequence[Preference], *, say: Say = silent) -> dict:
        """The temperature under which sigmoid(margin) is how often the preferred answer is the chosen one; for heads that score."""
        if not self.scored or len(records) < FEWEST_TO_FIT:
            return {}
        answers = replace(self, temperature=1.0).answers(language_model, renderer, records, say=say)
        margin_N1 = np.array([[answer.value] for answer in answers])
        found = fit_sigmoid_temperature(margin_N1, np.ones_like(margin_N1))
        return {"temperature": found, "rows": len(records), "sentence": f"temperature of {found:.3g}, fitted on {len(records):,} validation pairs"}

    def calibrated(self, facts: Mapping) -> "Pairs":
        """The lesson with its temperature."""
        return replace(self, temperature=facts.get("temperature", self.temperature))


def longer(record: Preference) -> int:
    """Characters by which the chosen answer is longer."""
    return len(record.chosen) - len(record.rejected)


def answered(messages: Sequence[Message], answer: str) -> Conversation:
    """A conversation in which only the last answer counts."""
    asked = tuple(replace(message, weight=0.0) if message.role == "assistant" else message for message in messages)
    return Conversation((*asked, Message("assistant", answer)))


def both(chosen: Prepared, rejected: Prepared) -> Prepared:
    """The examples of a pair, chosen first, or the reason why one of the two cannot be learned."""
    reason = chosen.left_out or rejected.left_out
    if reason is None and (len(chosen.examples) != 1 or len(rejected.examples) != 1):
        reason = "the chat template splits an answer in two"
    lost = sum(len(item.tokens) for side in (chosen, rejected) for item in side.examples)
    if reason:
        return Prepared((), reason, chosen.cut + rejected.cut + lost)
    return Prepared((replace(chosen.examples[0], label=1), replace(rejected.examples[0], label=0)), None, chosen.cut + rejected.cut)
