"""Chat: answer the last turn of a conversation; earlier turns are context, and every assistant turn is learned."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from luthier.data.records import Conversation, Message
from luthier.data.samples import truth
from luthier.errors import DataError, RecipeError
from luthier.metrics import language, text
from luthier.metrics.metric import mean
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer

UNKNOWN = "?"
"""Stands for the answer that is asked for."""


def last_turn(record: Conversation) -> int:
    """Index of the last assistant turn that is learned: what evaluation asks for."""
    turns = [index for index, message in enumerate(record.messages) if message.role == "assistant" and message.weight > 0]
    return turns[-1]


@dataclass
class Chat:
    """Learns to answer as the assistant of the given conversations."""

    name: ClassVar[str] = "chat"
    record: ClassVar[type] = Conversation
    headline: ClassVar[str] = "rouge_l"
    writes: ClassVar[bool] = True

    truth: str = ""
    """File of truths, one JSON object a line, as the samples have beside them: answers are then also scored as right or wrong."""

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 128) -> "PreparedChat":
        """The task with what the data and the recipe settle."""
        return PreparedChat(self.truth, max_new_tokens)

    def head(self, kind: str) -> str:
        if kind != "decoder":
            raise RecipeError(f"task chat needs a decoder; this base is an {kind.replace('_', '-')}", code="R154", hint="choose a decoder such as spruce, or task: classification")
        return "causal"

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("majority", "nearest", "base", "prompt", "few_shot", "rag", "tuned", "tuned_rag")

    def identity(self, record: Conversation) -> str:
        return "\n".join(f"{message.role}: {message.content}" for message in record.messages[: last_turn(record)] if message.role != "assistant")

    def examples(self, records: Sequence[Conversation], renderer):
        return renderer.conversations(records)

    def prompt_messages(self, record: Conversation, shots: Sequence[Conversation]) -> tuple[Message, ...]:
        """The turns before the answer, led by whole example conversations (most similar last); system turns stay first."""
        turns = record.messages[: last_turn(record)]
        system = tuple(message for message in turns if message.role == "system")
        shown = tuple(message for shot in reversed(shots) for message in shot.messages[: last_turn(shot) + 1] if message.role != "system")
        return (*system, *shown, *(message for message in turns if message.role != "system"))

    def target(self, record: Conversation) -> str:
        return record.messages[last_turn(record)].content

    def question(self, record: Conversation) -> str:
        turns = record.messages[: last_turn(record)]
        return turns[-1].content if len(turns) == 1 else "\n".join(f"{message.role}: {message.content}" for message in turns)

    def score(self, answers: Sequence[Answer], records: Sequence[Conversation]) -> dict:
        targets, written = [self.target(record) for record in records], [answer.text for answer in answers]
        metrics = {"rouge_l": text.rouge_l(targets, written), "chrf": text.chrf(targets, written), "exact_match": text.exact_match(targets, written)}
        if all(answer.nll is not None for answer in answers):
            metrics["perplexity"] = language.perplexity([answer.nll for answer in answers], [answer.learned_tokens for answer in answers])
        if self.truth:
            metrics["correct"] = mean("correct", self.rights(records, written))
        return metrics

    def rights(self, records: Sequence[Conversation], written: Sequence[str]) -> list[float]:
        """1 where an answer states just the facts that its truth demands; DataError where a question has no truth."""
        truths = truth.read(Path(self.truth).parent)
        found = []
        for record, answer in zip(records, written, strict=True):
            asked = [{"role": message.role, "content": message.content} for message in record.messages[: last_turn(record)]]
            if (wanted := truths.get(truth.key(asked))) is None:
                raise DataError(f"{self.truth} holds no truth for a question", code="D130", file=self.truth, field="task.truth", hint="leave task.truth out for data of your own")
            found.append(float(truth.correct(answer, wanted)))
        return found


@dataclass
class PreparedChat(Chat):
    """Chat with the length of its answers settled."""

    max_new_tokens: int = 128
    """Most tokens that an answer may have when it is generated."""

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """Greedy answers to single questions."""
        from luthier.tasks.asking import fitting_prompts, written  # torch

        records = [Conversation((Message("user", text), Message("assistant", UNKNOWN))) for text in texts]
        prompts = fitting_prompts(renderer, records, None, self.prompt_messages, language_model.context - self.max_new_tokens)
        return [{"answer": answer.text} for answer in written(language_model, prompts, max_new_tokens=self.max_new_tokens, say=say)]

    def answers(self, language_model, renderer, records: Sequence[Conversation], *, shots=None, say: Say = silent) -> list[Answer]:
        """Greedy answers, and how likely the model finds the reference."""
        from luthier.tasks.asking import fitting_prompts, generated  # torch

        room = language_model.context - self.max_new_tokens
        prompts = fitting_prompts(renderer, records, shots, self.prompt_messages, room)
        references = renderer.answers([self.target(record) for record in records])
        return generated(language_model, prompts, references, max_new_tokens=self.max_new_tokens, say=say)
