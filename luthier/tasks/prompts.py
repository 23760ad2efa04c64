"""A task read through prompts: a model writes, and a reward says how good it was."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from luthier.data.records import Conversation, Message, Prompt
from luthier.metrics.metric import mean
from luthier.preparation.examples import TOO_LONG, Prepared, example
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer
from luthier.tasks.pairs import answering

Grade = Callable[[object, Sequence[Prompt], Sequence[str]], list[float | None]]
"""Rewards that a task's answers to prompts earn; None where there is none to be had."""


def prompted(task, objective: str, *, max_answer_tokens: int, grade: Grade) -> "Prompts":
    """The task read through prompts; RecipeError where it writes no answers."""
    answering(task, objective)
    return Prompts(task, max_answer_tokens, grade)


@dataclass
class Prompts:
    """Learns to write answers that earn a reward."""

    inner: object
    """The task whose answers earn it."""
    max_answer_tokens: int
    """Longest answer, in tokens."""
    grade: Grade
    """How an answer is rewarded; the tokens of prompts do not depend on it."""

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
        rewards = self.grade(self.inner, records, [answer.text for answer in answers])
        metrics = {"reward": mean("reward", [0.0 if value is None else value for value in rewards])}
        if all(record.reference is not None for record in records):
            metrics |= self.inner.score(answers, [conversation(record) for record in records])
        metrics["answer_tokens"] = mean("answer_tokens", [float(answer.tokens_out) for answer in answers])
        return metrics


def conversation(record: Prompt) -> Conversation:
    """A prompt with its reference as the answer, as the task itself reads it."""
    asked = tuple(replace(message, weight=0.0) if message.role == "assistant" else message for message in record.messages)
    return Conversation((*asked, Message("assistant", record.reference or "")), origin=record.origin, group=record.group)
