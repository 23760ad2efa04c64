"""A task read through prompts: a model writes, and a reward says how good it was."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.data.records import Conversation, Message, Preference, Prompt, Rated
from luthier.metrics.metric import Metric, from_parts, mean, ratio
from luthier.preparation.examples import TOO_LONG, Prepared, example
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer
from luthier.tasks.pairs import answering

Grade = Callable[[object, Sequence[Prompt], Sequence[str]], list[float | None]]
"""Rewards that a task's answers to prompts earn; None where there is none to be had."""


NOT_GUARDS = ("reward", "no_reward", "answer_tokens")
"""Figures that may move with a reward without anything being wrong."""


def prompted(task, objective: str, *, max_answer_tokens: int, grade: Grade, watched: Grade | None = None) -> "Prompts":
    """The task read through prompts; RecipeError where it writes no answers."""
    answering(task, objective)
    return Prompts(task, max_answer_tokens, grade, watched)


@dataclass
class Prompts:
    """Learns to write answers that earn a reward."""

    inner: object
    """The task whose answers earn it."""
    max_answer_tokens: int
    """Longest answer, in tokens."""
    grade: Grade
    """How an answer is rewarded; the tokens of prompts do not depend on it."""
    watched: Grade | None = None
    """A reward that nobody learns from, for seeing whether the other one is hacked."""

    record = Prompt
    headline = "reward"
    writes = False

    def __repr__(self) -> str:
        return f"Prompts({self.inner!r}, {self.max_answer_tokens})"

    @property
    def name(self) -> str:
        return self.inner.name

    def head(self, kind: str) -> str:
        return self.inner.head(kind)

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0) -> "Prompts":
        return replace(self, inner=self.inner.prepared(labels=labels, max_new_tokens=self.max_answer_tokens))

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("base", "tuned")

    def identity(self, record: Prompt) -> str:
        return "\n".join(f"{message.role}: {message.content}" for message in record.messages if message.role != "assistant")

    def examples(self, records: Sequence[Prompt], renderer) -> list[Prepared]:
        """The tokens that ask, none of which is learned; a prompt that leaves no room for an answer is left out."""
        room = renderer.context - self.max_answer_tokens
        prompts = renderer.prompts([(record.messages, ()) for record in records])
        return [Prepared((example(tokens, label=0),)) if len(tokens) <= room else Prepared((), TOO_LONG, len(tokens)) for tokens in prompts]

    def answers(self, language_model, renderer, records: Sequence[Prompt], *, shots=None, say: Say = silent) -> list[Answer]:
        """Greedy answers."""
        from luthier.tasks.asking import written  # torch

        prompts = renderer.prompts([(record.messages, ()) for record in records])
        return written(language_model, prompts, max_new_tokens=self.max_answer_tokens, say=say)

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """What the task itself does with new inputs."""
        return self.inner.predict(language_model, renderer, texts, say=say)

    def target(self, record: Prompt) -> str:
        return record.reference or ""

    def question(self, record: Prompt) -> str:
        return record.messages[-1].content if len(record.messages) == 1 else "\n".join(f"{message.role}: {message.content}" for message in record.messages)

    def score(self, answers: Sequence[Answer], records: Sequence[Prompt]) -> dict:
        """Mean reward, and, where all prompts have a reference, the task's own metrics: what a reward that is hacked lets go."""
        texts = [answer.text for answer in answers]
        rewards = self.grade(self.inner, records, texts)
        metrics = {"reward": mean_of_known("reward", rewards)}
        if any(value is None for value in rewards):
            metrics["no_reward"] = mean("no_reward", [float(value is None) for value in rewards], higher_is_better=False)
        if self.watched is not None:
            metrics["watched"] = mean_of_known("watched", self.watched(self.inner, records, texts))
        if all(record.reference is not None for record in records):
            metrics |= self.inner.score(answers, [conversation(record) for record in records])
        metrics["answer_tokens"] = mean("answer_tokens", [float(answer.tokens_out) for answer in answers])
        return metrics

    def guards(self, metrics: Mapping[str, Metric]) -> list[str]:
        """The task's own figures, and the reward that is only watched."""
        return [name for name in metrics if name not in NOT_GUARDS]


def mean_of_known(name: str, values: Sequence[float | None]) -> Metric:
    """The mean over the rows that have a value; the others stand outside it, and are 0 only where single rows are shown."""
    known_N = np.array([value is not None for value in values], dtype=np.float64)
    value_N = np.array([0.0 if value is None else value for value in values], dtype=np.float64)
    return from_parts(name, np.stack([value_N, known_N], axis=1), ratio, per_row=value_N)


def as_prompt(record) -> Prompt:
    """What any record with a talk asks, with the answer that it holds up as good."""
    if isinstance(record, Prompt):
        return record
    if isinstance(record, Preference):
        return Prompt(record.messages, record.chosen, origin=record.origin, group=record.group)
    if isinstance(record, Rated):
        return Prompt(record.messages, record.answer if record.good else None, origin=record.origin, group=record.group)
    last = max(index for index, message in enumerate(record.messages) if message.role == "assistant" and message.weight > 0)
    return Prompt(record.messages[:last], record.messages[last].content, origin=record.origin, group=record.group)


def conversation(record: Prompt) -> Conversation:
    """A prompt with its reference as the answer, as the task itself reads it."""
    asked = tuple(replace(message, weight=0.0) if message.role == "assistant" else message for message in record.messages)
    return Conversation((*asked, Message("assistant", record.reference or "")), origin=record.origin, group=record.group)
