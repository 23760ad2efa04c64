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
    """Tokens with a weight each: how much what is predicted at each counts (0 = context only).

    Without `targets`, `tokens[i]` itself is predicted from those before it; with them, `targets[i]` is predicted from the whole row.
    """

    tokens: np.ndarray
    """Token ids, int32, shape T."""
    weights: np.ndarray
    """Weights, float32, shape T; without targets position 0 has no predecessor, so it is always 0."""
    label: int | None = None
    """Index of the class, for heads that predict one."""
    cut: int = 0
    """Tokens of the record that did not fit and were left out of it."""
    record: int = -1
    """Index of the record in its split that it was made from, -1 where there is none."""
    targets: np.ndarray | None = None
    """What is predicted at each token, int32, shape T, where that is not the token itself."""
    values: np.ndarray | None = None
    """Numbers that are predicted for the whole row, float32: one of a regression, 0 or 1 for each of several labels."""
    source: int = 0
    """How many of the tokens an encoder reads; the rest is what a decoder writes. 0 where there is one network for all."""
    share: float = 1.0
    """How much the row counts among others, where it has one label."""
    second: int = 0
    """Where the second of two texts begins, for networks that tell them apart; 0 where there is one."""

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


def example(tokens: list[int], weights: list[float] | None = None, *, label: int | None = None, cut: int = 0, targets: list[int] | None = None, **more) -> Example:
    """An Example from plain lists; without weights nothing in it is learned token by token (a label may be)."""
    array = np.asarray(tokens, dtype=np.int32)
    counted = np.zeros(len(array), dtype=np.float32) if weights is None else np.asarray(weights, dtype=np.float32)
    found = Example(array, counted, label, cut, targets=None if targets is None else np.asarray(targets, dtype=np.int32), **more)
    check(found)
    return found


def check(found: Example) -> None:
    """ValueError where weights or targets do not belong to the tokens, or the first token would be predicted from nothing."""
    if len(found.weights) != len(found.tokens) or (found.targets is not None and len(found.targets) != len(found.tokens)):
        raise ValueError("an example needs one weight, and one target where it has targets, per token")
    if found.targets is None and len(found.weights) and found.weights[0] != 0:
        raise ValueError("an example has no weight on its first token: nothing stands before it")
