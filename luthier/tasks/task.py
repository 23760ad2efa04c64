"""The contract of a task: which record it learns from, which head it needs, how it asks a model and how an answer is scored.

Members are light dataclasses whose fields are their settings. What needs torch is imported by the functions that run a model, so that
reading a recipe costs nothing.
"""
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer

if TYPE_CHECKING:
    from luthier.metrics import Metric
    from luthier.models.language_model import LanguageModel
    from luthier.preparation.examples import Prepared
    from luthier.preparation.renderer import Renderer


class Task(Protocol):
    """One thing a model can learn to do."""

    name: ClassVar[str]
    record: ClassVar[type]
    """The record type it learns from."""
    headline: ClassVar[str]
    """The metric that decides the verdict."""
    writes: ClassVar[bool]
    """Whether answers are written token by token, so that their length must be settled."""

    def head(self, kind: str) -> str:
        """The head it needs on a base of this kind (decoder or encoder): causal or sequence_class; RecipeError where there is none."""

    def prepared(self, *, labels: Sequence[str], max_new_tokens: int) -> "Task":
        """The task with what only the data and the resolved recipe can settle; `examples`, `answers` and `score` are asked of the result."""

    def contestants(self, kind: str) -> tuple[str, ...]:
        """Who is compared with the tuned model on a base of this kind."""

    def identity(self, record) -> str:
        """The input of a record, without what is to be answered: two records with the same identity never stand on two sides of a split."""

    def examples(self, records: Sequence, renderer: "Renderer") -> "list[Prepared]":
        """What the model learns from each record."""

    def answers(
        self, language_model: "LanguageModel", renderer: "Renderer", records: Sequence, *, shots: Sequence[Sequence] | None = None, say: Say = silent
    ) -> list[Answer]:
        """A model's answers, one per record; `shots` holds, for each record, training records to show first, the most similar first."""

    def predict(self, language_model: "LanguageModel", renderer: "Renderer", texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """Answers to new inputs, each in the task's own shape: {answer} or {label, confidence} ..."""

    def target(self, record) -> str:
        """The right answer, as text."""

    def question(self, record) -> str:
        """What is asked, as text a person can read."""

    def score(self, answers: Sequence[Answer], records: Sequence) -> "dict[str, Metric]":
        """Metrics with their per-row parts; `headline` is among them."""


@runtime_checkable
class Detailing(Protocol):
    """A task whose answers are more than a text: what is kept of them beside it, for whoever looks at single rows."""

    def details(self, record, answer: Answer) -> dict:
        """Fields for the row of an answer, JSON."""


@runtime_checkable
class Seeing(Protocol):
    """A task that takes something from the figures of the training rows, and says so."""

    def seen(self, counts: Mapping[str, int]) -> "tuple[Task, str]":
        """The task after it has seen how many training rows each label has, and a sentence about what follows; empty where nothing does."""


@runtime_checkable
class Calibrating(Protocol):
    """A task whose answers say how sure they are, by what a tuned model did on validation rows."""

    def calibration(self, language_model: "LanguageModel", renderer: "Renderer", records: Sequence, *, say: Say = silent) -> dict:
        """What was fitted, JSON, with a `sentence`; empty where nothing was."""

    def calibrated(self, facts: Mapping) -> "Task":
        """The task with what was fitted."""


@runtime_checkable
class Noising(Protocol):
    """A task whose examples are changed anew each time they are read, by a pure function of seed, step and index."""

    def noise(self, renderer: "Renderer", seed: int) -> Callable[[int], Callable]:
        """From a step (0-based; -1 for validation) to what `collate` does to each example and its index."""


@runtime_checkable
class Reading(Protocol):
    """A task read through other records than its own, which are about answers that it writes: pairs, ratings, prompts."""

    inner: "Task"
    """The task whose answers they are about."""


@runtime_checkable
class Guarded(Protocol):
    """A task whose headline can be pleased without being served: other figures show that."""

    def guards(self, metrics: "Mapping[str, Metric]") -> list[str]:
        """Names of the figures that should not fall while the headline rises."""


Respond = Callable[[Sequence, Sequence[Sequence] | None], list[Answer]]
"""Answers of some model to records, with or without training records to show first."""
