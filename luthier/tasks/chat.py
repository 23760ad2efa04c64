"""Chat: answer the last turn of a conversation; earlier turns are context, and every assistant turn is learned."""
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from luthier.data.records import Conversation, Message
from luthier.data.samples import truth
from luthier.errors import DataError, RecipeError
from luthier.metrics import conclusions, language, text
from luthier.metrics.metric import Metric, mean
from luthier.runs.events import Say, silent
from luthier.tasks.answers import UNKNOWN, Answer


def last_turn(record: Conversation) -> int:
    """Index of the last assistant turn that is learned: what evaluation asks for."""
    turns = [index for index, message in enumerate(record.messages) if message.role == "assistant" and message.weight > 0]
    return turns[-1]


def place(record: Conversation) -> dict:
    """Where a record stands, for an error."""
    origin = record.origin
    return {"file": origin.file, "line": origin.line, "rows": [origin.row]} if origin else {}


@dataclass
class Chat:
    """Learns to answer as the assistant of the given conversations."""

    name: ClassVar[str] = "chat"
    record: ClassVar[type] = Conversation
    writes: ClassVar[bool] = True

    truth: str = ""
    """File of truths, one JSON object a line, as the samples have beside them: answers are then also scored as right or wrong."""
    answer: str = ""
    """Regular expression that finds what an answer comes to (`#### (.+)`, `answer is ([A-E])`): answers whose last match equals the target's are `correct`."""
    measure: Literal["rouge_l", "chrf", "exact_match", "correct", "json_match"] = "rouge_l"
    """The figure that decides. `correct` needs `answer` or `truth`; `json_match` data whose answers are all JSON objects or lists."""

    @property
    def headline(self) -> str:
        """The figure that decides."""
        return self.measure

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 128) -> "PreparedChat":
        """The task with what the data and the recipe settle."""
        if self.answer:
            self.pattern()
        if self.measure == "correct" and not (self.answer or self.truth):
            raise RecipeError("task.measure=correct does not say what is right", code="R203", field="task.answer", hint="task.answer='#### (.+)' names what must be the same as in the target")
        if self.answer and self.truth:
            raise RecipeError("task.answer and task.truth both say what is right", code="R203", field="task.answer", hint="keep one of them")
        return PreparedChat(self.truth, self.answer, self.measure, max_new_tokens)

    def pattern(self) -> re.Pattern:
        """What finds the end of an answer; RecipeError where it is no regular expression."""
        try:
            return re.compile(self.answer)
        except re.error as error:
            raise RecipeError(f"task.answer is no regular expression: {error}", code="R203", field="task.answer", hint=r"for example '#### (.+)' or 'answer is \(?([A-E])'") from None

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
        metrics = text.answers(targets, written)
        if all(answer.nll is not None for answer in answers):
            metrics["perplexity"] = language.perplexity([answer.nll for answer in answers], [answer.learned_tokens for answer in answers])
        if self.truth:
            metrics["correct"] = mean("correct", self.rights(records, written))
        if self.answer:
            metrics["correct"] = self.concluded(records, targets, written)
        if (same := conclusions.json_match(targets, written)) is not None:
            metrics["json_match"] = same
        elif self.measure == "json_match":
            plain = next(record for record, target in zip(records, targets) if conclusions.structured(target) is None)
            raise DataError("an answer to compare with is no JSON object or list", code="D137", **place(plain), field="task.measure", hint="choose another task.measure, or repair the row")
        return metrics

    def concluded(self, records: Sequence[Conversation], targets: Sequence[str], written: Sequence[str]) -> Metric:
        """Share of answers that come to what the target comes to; DataError names a target in which the pattern finds nothing."""
        pattern = self.pattern()
        for record, target in zip(records, targets, strict=True):
            if conclusions.conclusion(target, pattern) is None:
                raise DataError("task.answer finds nothing in an answer to compare with", code="D137", **place(record), field="task.answer", hint=f"the answer ends: …{target[-60:]!r}")
        return conclusions.correct(targets, written, pattern)

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
        from luthier.tasks.asking import fitting_prompts, generated, rooms_beside  # torch

        room = language_model.context - self.max_new_tokens
        targets = [self.target(record) for record in records]
        references = renderer.answers(targets)
        prompts = fitting_prompts(renderer, records, shots, self.prompt_messages, room, rooms=rooms_beside(targets, references, language_model.context, room))
        return generated(language_model, prompts, references, max_new_tokens=self.max_new_tokens, say=say)
