"""An answer to one record, whoever gave it: a model, a baseline, an endpoint."""
from dataclasses import dataclass

UNKNOWN = "?"
"""Stands for the answer that is asked for where there is none to compare with."""


@dataclass
class Answer:
    """What a contestant said about one record and what it cost."""

    text: str
    """The answer as written; for labels the label."""
    label: str | None = None
    """The label chosen, where the task has labels."""
    probabilities: dict[str, float] | None = None
    """Probability of each label, where known."""
    spans: list | None = None
    """Spans found, each [first word, word after the last, type, confidence where known]."""
    value: float | None = None
    """The number, where the task asks for one."""
    interval: list[float] | None = None
    """[low, high] around the number, where one was fitted."""
    nll: float | None = None
    """Negative log-likelihood of the reference answer in nats, where the contestant has one."""
    rejected_nll: float | None = None
    """The same of the answer that was turned down, where the row is a pair."""
    hits: int | None = None
    """Of the tokens that `nll` is summed over, how many were the likeliest ones, where the task counts them."""
    learned_tokens: int = 0
    """Tokens of the reference answer that `nll` is summed over."""
    tokens_in: int = 0
    """Tokens read."""
    tokens_out: int = 0
    """Tokens written."""
    seconds: float = 0.0
    """Wall time of this answer; in a batch, its share."""
