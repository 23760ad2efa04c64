"""Regression: the number that belongs to a text, or to a pair of texts, with an interval that holds nine times out of ten.

The interval is split conformal (Vovk et al. 2005; Lei et al. 2018): half its width is the quantile of the absolute errors on validation rows at
level ceil((n + 1) 0.9) / n, so that at least 90 % of new rows like them fall inside.
"""
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from luthier.data.records import Scored, both_texts
from luthier.errors import RecipeError
from luthier.metrics import numbers
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer
from luthier.tasks.classification import halves

COVERAGE = 0.9


@dataclass
class Regression:
    """Learns a number for each text."""

    name: ClassVar[str] = "regression"
    record: ClassVar[type] = Scored
    writes: ClassVar[bool] = False

    measure: Literal["mae", "rmse", "spearman"] = "mae"
    """The figure that decides: mean absolute error, root mean squared error, or the correlation of ranks."""
    half_width: float | None = None
    """Half the width of the interval around every answer; fitted on validation rows, so there is no need to set it."""

    @property
    def headline(self) -> str:
        """The figure that decides."""
        return self.measure

    def prepared(self, *, labels: Sequence[str] = (), max_new_tokens: int = 0) -> "Regression":
        """Nothing is left to settle."""
        return self

    def head(self, kind: str) -> str:
        if kind not in ("decoder", "encoder"):
            raise RecipeError(f"task regression needs an encoder or a decoder; this base is an {kind.replace('_', '-')}", code="R154", hint="choose an encoder such as a BERT")
        return "regression"

    def contestants(self, kind: str) -> tuple[str, ...]:
        return ("median", "nearest", "ridge", "tuned")

    def identity(self, record: Scored) -> str:
        return both_texts(record)

    def examples(self, records: Sequence[Scored], renderer):
        import numpy as np

        return [renderer.labelled(record.text, None, pair=record.pair, values=np.array([record.value], dtype=np.float32)) for record in records]

    def answers(self, language_model, renderer, records: Sequence[Scored], *, shots=None, say: Say = silent) -> list[Answer]:
        """A number for each text, and its interval where one was fitted."""
        from luthier.tasks.asking import row_outputs  # torch

        prepared = [renderer.labelled(record.text, None, pair=record.pair) for record in records]
        head = language_model.head
        values_N1, seconds = row_outputs(language_model, prepared, say=say, read=lambda network, **tensors: head.values(network, **tensors)[:, None])
        rows = zip(values_N1[:, 0].tolist(), prepared, seconds, strict=True)
        return [number_answer(value, self.half_width, tokens_in=len(item.examples[0].tokens), seconds=taken) for value, item, taken in rows]

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """The number of each text, with the interval that holds it nine times out of ten; two texts stand apart by a tab."""
        records = [Scored(first, 0.0, *rest) for first, _, *rest in map(halves, texts)]
        found = []
        for answer in self.answers(language_model, renderer, records, say=say):
            interval = {} if answer.interval is None else {"low": answer.interval[0], "high": answer.interval[1], "coverage": COVERAGE}
            found.append({"answer": answer.text, "value": answer.value, **interval})
        return found

    def target(self, record: Scored) -> str:
        return f"{record.value:.6g}"

    def question(self, record: Scored) -> str:
        return both_texts(record)

    def score(self, answers: Sequence[Answer], records: Sequence[Scored]) -> dict:
        return numbers.scores([record.value for record in records], [answer.value for answer in answers], [answer.interval for answer in answers])

    def details(self, record: Scored, answer: Answer) -> dict:
        """The number wanted and given."""
        return {"wanted_value": record.value, "value": answer.value, **({"interval": answer.interval} if answer.interval else {})}

    def calibration(self, language_model, renderer, records: Sequence[Scored], *, say: Say = silent) -> dict:
        """Half the width of the interval, from the errors on validation rows; empty where there are too few for one."""
        place = math.ceil((len(records) + 1) * COVERAGE)
        if place > len(records) or len(records) < 20:
            return {}
        answers = replace(self, half_width=None).answers(language_model, renderer, records, say=say)
        errors = sorted(abs(answer.value - record.value) for answer, record in zip(answers, records, strict=True))
        said = f"nine answers of ten should lie within {errors[place - 1]:.4g} of the truth, by {len(records):,} validation rows"
        return {"half_width": errors[place - 1], "coverage": COVERAGE, "rows": len(records), "sentence": said}

    def calibrated(self, facts: Mapping) -> "Regression":
        """The task with its interval."""
        return replace(self, half_width=facts.get("half_width", self.half_width))


def number_answer(value: float, half_width: float | None = None, **costs) -> Answer:
    """An answer that is a number."""
    interval = None if half_width is None else [value - half_width, value + half_width]
    text = f"{value:.4g}" + ("" if interval is None else f" ({interval[0]:.4g} to {interval[1]:.4g})")
    return Answer(text, value=value, interval=interval, tokens_out=1, **costs)
