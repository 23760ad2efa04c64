"""A task read through ratings: does a model find answers that people called good likelier than answers they called bad?"""
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.data.records import Rated
from luthier.metrics.metric import mean
from luthier.preparation.examples import Prepared
from luthier.runs.events import Event, Say, silent
from luthier.tasks.answers import Answer
from luthier.tasks.pairs import answered, answering


def rated(task, objective: str) -> "Ratings":
    """The task read through ratings; RecipeError where it writes no answers."""
    answering(task, objective)
    return Ratings(task)


@dataclass
class Ratings:
    """Learns which answers people called good."""

    inner: object
    """The task whose answers are rated."""

    record = Rated
    headline = "rating_auc"
    writes = True

    @property
    def name(self) -> str:
        return self.inner.name

    def head(self, kind: str) -> str:
        return self.inner.head(kind)

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0) -> "Ratings":
        return replace(self, inner=self.inner.prepared(labels=labels, max_new_tokens=max_new_tokens))

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("base", "tuned")

    def identity(self, record: Rated) -> str:
        return "\n".join(f"{message.role}: {message.content}" for message in record.messages if message.role != "assistant")

    def examples(self, records: Sequence[Rated], renderer) -> list[Prepared]:
        """One example a row; its label says whether the answer is good."""
        prepared = renderer.conversations([answered(record.messages, record.answer) for record in records])
        return [item._replace(examples=tuple(replace(one, label=int(record.good)) for one in item.examples)) for item, record in zip(prepared, records, strict=True)]

    def answers(self, language_model, renderer, records: Sequence[Rated], *, shots=None, say: Say = silent) -> list[Answer]:
        """How likely the model finds each answer; there is nothing to write."""
        from luthier.tasks.likelihood import nll_of  # torch

        examples = [item.examples[0] for item in self.examples(records, renderer)]
        nll = nll_of(language_model, [(example.tokens, example.weights) for example in examples])
        say(Event("progress", data={"task": "likelihood", "done": len(records), "total": len(records), "unit": "answers"}))
        return [Answer("", nll=value, learned_tokens=example.learned, tokens_in=len(example.tokens)) for value, example in zip(nll, examples, strict=True)]

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """What the task itself does with new inputs."""
        return self.inner.predict(language_model, renderer, texts, say=say)

    def target(self, record: Rated) -> str:
        return "good" if record.good else "bad"

    def question(self, record: Rated) -> str:
        return "\n".join(f"{message.role}: {message.content}" for message in record.messages) + f"\nassistant: {record.answer}"

    def score(self, answers: Sequence[Answer], records: Sequence[Rated]) -> dict:
        """For each answer, the share of answers with the other rating that the model has on the right side of it, by likelihood per token."""
        value_N = np.array([-answer.nll / max(1, answer.learned_tokens) for answer in answers])
        good_N = np.array([record.good for record in records])
        right = []
        for value, good in zip(value_N, good_N, strict=True):
            others = value_N[good_N != good]
            ahead = (value > others) if good else (value < others)
            right.append(float(ahead.mean() + 0.5 * (value == others).mean()) if len(others) else 0.5)
        return {"rating_auc": mean("rating_auc", right)}
