"""`label`: show two answers of a model side by side and write down which one a person likes better, as pairs that `objective: dpo` learns from."""
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from luthier.data.canonical import message_to_dict
from luthier.data.dataset import DataSet
from luthier.data.records import Conversation, Message
from luthier.errors import DataError, RecipeError
from luthier.files import digest, read_json_lines
from luthier.generation.local import generate
from luthier.runs.events import Say, silent
from luthier.verbs.opening import open_run

CHOICES = {"1": "the first is better", "2": "the second is better", "=": "about equal: nothing is written", "s": "skip", "q": "stop"}
LONGEST_ANSWER = 128
"""Tokens of an answer, where the recipe does not say."""


@dataclass
class Shown:
    """Two answers to one prompt."""

    number: int
    """1-based, in this session."""
    messages: list[dict]
    """The talk up to the answer."""
    answers: tuple[str, str]
    """In the order in which they are shown."""


@dataclass
class Labelling:
    """A session: two answers a prompt, drawn with different noise; which stands first is drawn too, so that the place tells nothing."""

    opened: object
    output: Path
    """A JSONL file that grows by a row for each choice."""
    temperature: float
    seed: int
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHOICES, 0))
    """How often each choice was made."""
    alike: int = 0
    """Prompts whose two answers came out the same."""

    def ask(self, most: int) -> Iterator[Shown]:
        """Prompts of the training rows that have not been judged in this file yet, each with two different answers."""
        done, number = self.judged(), 0
        for messages in self.prompts():
            if digest(json.dumps(messages, ensure_ascii=False)) in done:
                continue
            shown = self.two_answers(messages, number + 1)
            if shown is None:
                self.alike += 1
                continue
            number += 1
            yield shown
            if number >= most:
                return

    def prompts(self) -> Iterator[list[dict]]:
        """What training rows ask, without the answer; test rows stay unseen."""
        for record in DataSet(self.opened.run.data_folder).iterate("train"):
            if isinstance(record, Conversation):
                asked = [index for index, message in enumerate(record.messages) if message.role == "assistant"]
                messages = record.messages[: asked[-1]] if asked else record.messages
            elif hasattr(record, "messages"):
                messages = record.messages
            else:
                raise RecipeError(f"run {self.opened.run.name} answers no conversations, so there is nothing to compare", code="R190", hint="label a run of task: chat")
            yield [message_to_dict(message) for message in messages]

    def two_answers(self, messages: list[dict], number: int) -> Shown | None:
        """Two sampled answers, in a drawn order; None where they are the same words."""
        turns = tuple(Message(message["role"], message["content"]) for message in messages)
        prompt = self.opened.renderer.prompt(turns)
        model, room = self.opened.language_model, self.opened.language_model.context - len(prompt)
        if room < 1:
            return None
        limit = self.opened.recipe.evaluation.max_new_tokens
        draw = int(digest("label", str(self.seed), json.dumps(messages, ensure_ascii=False))[:12], 16)
        found = generate(model, [prompt, prompt], max_new_tokens=min(room, limit if isinstance(limit, int) else LONGEST_ANSWER), temperature=self.temperature, seed=draw)
        first, second = (one.text.strip() for one in found)
        return None if first == second else Shown(number, messages, (first, second))

    def record(self, shown: Shown, choice: str) -> None:
        """Count a choice; a preference is appended to the file at once, so that nothing is lost when the session ends."""
        self.counts[choice] += 1
        if choice not in ("1", "2"):
            return
        better = shown.answers[int(choice) - 1]
        worse = shown.answers[2 - int(choice)]
        row = {"prompt": shown.messages, "chosen": better, "rejected": worse, "run": self.opened.run.name, "temperature": self.temperature}
        with open(self.output, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    def judged(self) -> set[str]:
        """Prompts that the file holds already."""
        if not self.output.exists():
            return set()
        try:
            return {digest(json.dumps(row["prompt"], ensure_ascii=False)) for row in read_json_lines(self.output)}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.output} holds other rows than preferences", code="D113", file=str(self.output), hint="name another file with --output") from error

    def to_dict(self) -> dict:
        """The stable JSON shape: run, output, written, first, second, equal, skipped, alike."""
        return {
            "run": self.opened.run.name, "output": str(self.output), "written": self.counts["1"] + self.counts["2"], "first": self.counts["1"], "second": self.counts["2"],
            "equal": self.counts["="], "skipped": self.counts["s"], "alike": self.alike,
        }


def label(run: str, *, output: str = "", temperature: float = 0.8, seed: int = 0, say: Say = silent) -> Labelling:
    """Open a run for labelling; rows go to `output` (preferences.jsonl in the run's folder)."""
    if temperature <= 0:
        raise RecipeError("temperature must be above 0: two answers at 0 are the same", code="R142", field="temperature", hint="leave --temperature out")
    opened = open_run(run, say)
    if opened.renderer.head != "causal":
        raise RecipeError(f"run {opened.run.name} writes no answers to compare", code="R190", hint="label a run of task: chat")
    return Labelling(opened, Path(output) if output else opened.run.path / "preferences.jsonl", temperature, seed)
