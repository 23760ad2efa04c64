"""How often the tuned model's answer is better than the starting model's, prompt by prompt: a win is 1, a tie a half.

The interval is over prompts (whole groups where rows share one), and so is the test of no difference: each prompt's two answers change sides by a coin.
A model that wins by writing more has often won nothing, so prompts on which the tuned answer is no longer are counted by themselves.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.evaluation.statistics import clustered, difference, interval
from luthier.evaluation.wording import percent
from luthier.metrics.metric import mean

SAME = 1e-9
"""Scores closer than this are a tie."""
LONGER = 1.2
"""Tuned answers longer than this many times the starting model's are told."""
FEWEST = 10
"""Prompts below which nothing is said about a part of them."""
UNREAD = 0.1
"""A share of replies that cannot be read above which the judge is doubted."""


@dataclass(frozen=True)
class Sides:
    """Two answers to each of the same prompts."""

    prompts: Sequence[str]
    before: Sequence[str]
    """The starting model's."""
    after: Sequence[str]
    """The tuned model's."""
    groups: Sequence[object] = ()
    """What each prompt shares with others; empty for nothing."""


def by_scores(before: Sequence[float | None], after: Sequence[float | None]) -> list[float | None]:
    """Outcomes from a score of each answer, more is better; None where one has no score."""
    return [
        None if one is None or other is None else 0.5 if abs(other - one) <= SAME * max(1.0, abs(one), abs(other)) else float(other > one)
        for one, other in zip(before, after, strict=True)
    ]


def win_rate(sides: Sides, outcomes: Sequence[float | None], *, by: str, confidence: float = 0.95, resamples: int = 2000, seed: int = 0, more: dict | None = None) -> dict:
    """`{by, n, value, low, high, p_value, wins, ties, losses, left_out, words, shorter, sentence}` and what the judge's kind adds; `value` is the share
    of prompts won, ties counted half. A dict without `value` where nobody could judge."""
    kept = [at for at, outcome in enumerate(outcomes) if outcome is not None]
    found = {"by": by, "n": len(kept), "left_out": len(outcomes) - len(kept), **(more or {})}
    if not kept:
        return {**found, "sentence": f"no answer could be judged by {by}, so there is no win rate"}
    value_N = np.array([outcomes[at] for at in kept])
    groups = [sides.groups[at] for at in kept] if any(sides.groups) else ()
    won, lost = mean("win_rate", value_N), mean("win_rate", 1 - value_N)
    if groups:
        won, lost = clustered(won, groups), clustered(lost, groups)
    options = {"confidence": confidence, "resamples": resamples, "seed": seed}
    ends, against = interval(won, **options), difference(won, lost, **options)
    words_N2 = np.array([[len(sides.before[at].split()), len(sides.after[at].split())] for at in kept])
    found |= {
        "value": ends.value, "low": ends.low, "high": ends.high, "p_value": against.p_value, "wins": int((value_N > 0.5).sum()), "ties": int((value_N == 0.5).sum()),
        "losses": int((value_N < 0.5).sum()), "words": {"before": float(words_N2[:, 0].mean()), "after": float(words_N2[:, 1].mean())}, "shorter": shorter(value_N, words_N2),
    }
    return {**found, "sentence": sentence(found, confidence)}


def shorter(value_N: np.ndarray, words_N2: np.ndarray) -> dict:
    """The win rate where the tuned answer has no more words than the other."""
    no_longer_N = words_N2[:, 1] <= words_N2[:, 0]
    return {"n": int(no_longer_N.sum()), "value": float(value_N[no_longer_N].mean()) if no_longer_N.any() else None}


def by_judge(judgements: Sequence) -> dict:
    """What is worth knowing about a judge: how often place decided, and how often its reply could not be read."""
    asked = [one for one in judgements if any(one.replies)]
    named = [place for one in asked for place in one.places]
    return {"judge": {
        "asked": 2 * len(asked), "unread": named.count(""), "first": named.count("A"), "second": named.count("B"), "turned": sum(one.turned for one in asked),
    }}


def sentence(found: dict, confidence: float) -> str:
    """The win rate in words, with what takes from it."""
    surely = found["p_value"] < 1 - confidence
    outcome = "wins" if surely and found["low"] > 0.5 else "loses" if surely and found["high"] < 0.5 else "cannot be told from the starting model"
    against = "" if outcome.startswith("cannot") else " against the starting model"
    said = (
        f"Answer by answer tuned {outcome}{against}: it has {percent(round(found['value'], 3))} of {found['n']:,} unseen prompts by {found['by']} ({percent(confidence)} interval "
        f"{percent(round(found['low'], 3))} to {percent(round(found['high'], 3))}; {found['wins']:,} won, {found['ties']:,} tied, {found['losses']:,} lost)"
    )
    words, part = found["words"], found["shorter"]
    if words["after"] > LONGER * max(words["before"], 1.0):
        alike = f"; where they are no longer it has {percent(round(part['value'], 3))} of {part['n']:,}" if part["n"] >= FEWEST else ""
        said += f"; its answers are {words['after'] / max(words['before'], 1.0):.1f} times as long{alike}"
    return said + doubts(found.get("judge"))


def doubts(judge: dict | None) -> str:
    """What is to be held against the judge."""
    if not judge or not judge["asked"]:
        return ""
    told = f"; the judge named the same place in both orders for {2 * judge['turned'] / judge['asked']:.0%} of the prompts, which count as ties" if judge["turned"] else ""
    if judge["unread"] > UNREAD * judge["asked"]:
        told += f"; {judge['unread']:,} of its {judge['asked']:,} replies could not be read, so doubt it"
    return told
