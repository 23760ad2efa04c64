"""Passages in the training prompt: rows are led by what is found for them, and every later question to the model is led by the same rule.

A model that was trained with passages and then asked without them would be asked something that it never saw; so whoever asks a run (predict,
chat, the looks at validation, `tuned` and `tuned_rag`) goes through `Leading`.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.evaluation.contestants.context import laid, with_passages
from luthier.evaluation.contestants.inputs import prompt_of
from luthier.files import digest
from luthier.preparation.renderer import Renderer
from luthier.retrieval.documents import fingerprint
from luthier.retrieval.index import Index
from luthier.retrieval.settings import RetrievalSettings
from luthier.runs.events import Event, Say
from luthier.verbs.materials import index_of, prompt_lengths


@dataclass
class Leading:
    """Lays passages before records and before plain texts."""

    index: Index
    settings: RetrievalSettings
    task: object
    renderer: Renderer
    context: int

    @property
    def key(self) -> str:
        """Hash of what is laid."""
        return digest("leading", str(self.settings), fingerprint(self.index.passages))

    def records(self, records: Sequence) -> list:
        """Each record led by its passages, as many as leave the whole row, answer included, within the context; a row never finds itself."""
        found = self.index.search([prompt_of(record) for record in records], self.settings.passages, without=[record.origin for record in records])
        lengths, answers = prompt_lengths(self.task, self.renderer), self.renderer.answers([self.task.target(record) for record in records])
        longest = max((len(answer) for answer in answers), default=0)
        return with_passages(records, [[passage.text for passage in each] for each in found], lengths, self.context - longest)[0]

    def texts(self, texts: Sequence[str], room: Callable[[str], bool]) -> list[str]:
        """New questions led in the same words; passages leave from the last on until `room` says that a text fits."""
        led = []
        for text, found in zip(texts, self.index.search(list(texts), self.settings.passages), strict=True):
            shown = [passage.text for passage in found]
            while shown and not room(f"{laid(shown)}\n\n{text}"):
                shown.pop()
            led.append(f"{laid(shown)}\n\n{text}" if shown else text)
        return led


def leading(settings: RetrievalSettings, task, renderer: Renderer, context: int, *, train: Sequence, embed: Callable | None, folder: Path, key: str, say: Say) -> Leading | None:
    """None where the recipe does not ask for passages in training."""
    if not settings.in_training:
        return None
    return Leading(index_of(settings, train, embed, folder, key, say), settings, task, renderer, context)


def asked_as_trained(respond: Callable, before: Leading | None) -> Callable:
    """A tuned model as contestants see it: led by passages where it was trained so, for that is how it will be asked."""
    return respond if before is None else lambda records, shots=None: respond(before.records(records), shots)


def without_twice(names: Sequence[str], before: Leading | None, say: Say) -> list[str]:
    """The contestants but for `tuned_rag`, where `tuned` is asked with passages already."""
    if before is None or "tuned_rag" not in names:
        return list(names)
    say(Event("note", "tuned was trained with passages and is asked with them, so tuned_rag would be the same and is left out"))
    return [name for name in names if name != "tuned_rag"]
