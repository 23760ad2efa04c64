"""What a model learns from: token ids, how much each counts, and what became of a record on the way there.

Axes: T = tokens of one example.
"""
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

TOO_LONG = "longer than the context"
NOTHING_LEARNED = "no token would be learned"


@dataclass(frozen=True)
class Example:
    """Tokens with a weight each: `weights[i]` says how much predicting `tokens[i]` from those before it counts (0 = context only)."""

    tokens: np.ndarray
    """Token ids, int32, shape T."""
    weights: np.ndarray
    """Weights, float32, shape T; position 0 has no predecessor, so it is always 0."""
    label: int | None = None
    """Index of the class, for heads that predict one."""
    cut: int = 0
    """Tokens of the record that did not fit and were left out of it."""
    record: int = -1
    """Index of the record in its split that it was made from, -1 where there is none."""

    @property
    def learned(self) -> int:
        """How many tokens count."""
        return int(np.count_nonzero(self.weights))


class Prepared(NamedTuple):
    """What became of one record: its examples, or the reason why there are none."""

    examples: tuple[Example, ...]
    """Usually one; several where a document is longer than the context or a template rewrites history."""
    left_out: str | None = None
    """Why the record is not used (a reason of the ledger), None where it is."""
    cut: int = 0
    """Tokens of the record that no example holds."""


def example(tokens: list[int], weights: list[float] | None = None, *, label: int | None = None, cut: int = 0) -> Example:
    """An Example from plain lists; without weights nothing in it is learned token by token (a label may be)."""
    array = np.asarray(tokens, dtype=np.int32)
    counted = np.zeros(len(array), dtype=np.float32) if weights is None else np.asarray(weights, dtype=np.float32)
    if len(counted) != len(array) or (len(counted) and counted[0] != 0):
        raise ValueError("one weight per token, and none on the first token: nothing stands before it")
    return Example(array, counted, label, cut)
