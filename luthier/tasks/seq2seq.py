"""Sequence to sequence: a text becomes another, its summary or its translation. An encoder-decoder reads and writes; a decoder is asked as in a chat."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from luthier.data.records import Conversation, Message, Pair
from luthier.errors import RecipeError
from luthier.metrics import language, text
from luthier.runs.events import Say, silent
from luthier.tasks.answers import UNKNOWN, Answer


@dataclass
class Seq2Seq:
    """Learns to turn a text into another."""

    name: ClassVar[str] = "seq2seq"
    record: ClassVar[type] = Pair
    writes: ClassVar[bool] = True

    instruction: str = ""
    """Stands before every source (`summarize: `, `translate English to German: `); for a decoder it is a line of its own."""
    measure: Literal["rouge_l", "rouge_1", "rouge_2", "bleu", "chrf"] = "rouge_l"
    """The figure that decides: ROUGE-L for summaries, BLEU or chrF for translations."""
    bleu_tokenizer: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    """How sacrebleu cuts words for BLEU: 13a for languages with spaces, zh for Chinese, char for others without."""

    @property
    def headline(self) -> str:
        """The figure that decides."""
        return self.measure

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 128) -> "PreparedSeq2Seq":
        """The task with the length of its answers."""
        return PreparedSeq2Seq(self.instruction, self.measure, self.bleu_tokenizer, max_new_tokens)

    def head(self, kind: str) -> str:
        heads = {"decoder": "causal", "encoder_decoder": "seq2seq"}
        if kind not in heads:
            raise RecipeError(f"task seq2seq needs an encoder-decoder or a decoder; this base is an {kind}", code="R154", hint="choose a base such as T5 or BART, or a decoder such as spruce")
        return heads[kind]

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("majority", "nearest", "lead", "base", *(("few_shot",) if kind == "decoder" else ()), "tuned")

    def identity(self, record: Pair) -> str:
        return record.source

    def conversation(self, record: Pair) -> Conversation:
        """The record as a decoder sees it."""
        asked = f"{self.instruction.strip()}\n\n{record.source}" if self.instruction.strip() else record.source
        return Conversation((Message("user", asked), Message("assistant", record.target)), origin=record.origin, group=record.group)

    def prompt_messages(self, record: Pair, shots: Sequence[Pair]) -> tuple[Message, ...]:
        """The source as a question, led by examples (most similar last)."""
        shown = tuple(message for shot in reversed(shots) for message in self.conversation(shot).messages)
        return (*shown, self.conversation(record).messages[0])

    def target(self, record: Pair) -> str:
        return record.target

    def question(self, record: Pair) -> str:
        return record.source

    def score(self, answers: Sequence[Answer], records: Sequence[Pair]) -> dict:
        targets, written = [record.target for record in records], [answer.text for answer in answers]
        metrics = text.rouge(targets, written) | {"bleu": text.bleu(targets, written, tokenizer=self.bleu_tokenizer), "chrf": text.chrf(targets, written)}
        if all(answer.nll is not None for answer in answers):
            metrics["perplexity"] = language.perplexity([answer.nll for answer in answers], [answer.learned_tokens for answer in answers])
        return metrics


@dataclass
class PreparedSeq2Seq(Seq2Seq):
    """Sequence to sequence with the length of its answers settled."""

    max_new_tokens: int = 128
    """Most tokens that an answer may have."""

    def examples(self, records: Sequence[Pair], renderer):
        if renderer.head == "causal":
            return renderer.conversations([self.conversation(record) for record in records])
        return renderer.pairs([(self.instruction + record.source, record.target) for record in records])

    def answers(self, language_model, renderer, records: Sequence[Pair], *, shots=None, say: Say = silent) -> list[Answer]:
        """Greedy answers, and the likelihood of each target after the same source."""
        from luthier.tasks.asking import fitting_prompts, generated, rewritten, rooms_beside  # torch

        if renderer.head != "causal":
            return rewritten(language_model, renderer, [(self.instruction + record.source, record.target) for record in records], max_new_tokens=self.max_new_tokens, say=say)
        targets, room = [record.target for record in records], language_model.context - self.max_new_tokens
        references = renderer.answers(targets)
        prompts = fitting_prompts(renderer, records, shots, self.prompt_messages, room, rooms=rooms_beside(targets, references, language_model.context, room))
        return generated(language_model, prompts, references, max_new_tokens=self.max_new_tokens, say=say)

    def rewritten(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[Answer]:
        """What an encoder-decoder makes of the texts."""
        from luthier.tasks.asking import rewritten  # torch

        return rewritten(language_model, renderer, [(self.instruction + each, None) for each in texts], max_new_tokens=self.max_new_tokens, say=say)

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """What the texts become."""
        from luthier.tasks.asking import fitting_prompts, written  # torch

        if renderer.head != "causal":
            answers = self.rewritten(language_model, renderer, texts, say=say)
        else:
            prompts = fitting_prompts(renderer, [Pair(each, UNKNOWN) for each in texts], None, self.prompt_messages, language_model.context - self.max_new_tokens)
            answers = written(language_model, prompts, max_new_tokens=self.max_new_tokens, say=say)
        return [{"answer": answer.text} for answer in answers]
