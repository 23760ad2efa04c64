"""Calibration and abstention: whether confidence means what it says, and from which confidence on answers can be trusted.

Expected calibration error (Naeini et al. 2015): mean distance of confidence and accuracy over ten equally filled bins. Coverage and risk: what
share is answered, and how often wrongly, if only the surest are answered. The threshold is chosen by a conformal rule (Bates et al. 2021): the
smallest confidence at which the upper 95 % bound (Clopper and Pearson 1934) of the error of answered rows stays below the wanted risk.
"""
from collections.abc import Sequence

import numpy as np
import scipy

from luthier.evaluation.probes.probe import Found, Subject, resampled_interval

RED_LINE = 0.1
BINS = 10
RISK = 0.1
"""Share of wrong answers among those given that the threshold allows."""
RISKS = (0.01, 0.02, 0.05, RISK, 0.2)
"""Shares for which a server can be told to abstain."""


def probe(subject: Subject) -> list[Found]:
    """`calibration`, with the curve and the threshold for serving among its details; nothing where answers have no probabilities."""
    sides = [confidences(answers, subject) for answers in subject.answers]
    if sides[1] is None:
        return []
    sure_N, right_N = sides[1]
    value = expected_error(sure_N, right_N)

    def drawn(random: np.random.Generator) -> float:
        rows = random.integers(0, len(sure_N), len(sure_N))
        return expected_error(sure_N[rows], right_N[rows])

    low, high = resampled_interval(drawn, rounds=500, seed=subject.seed)
    before = expected_error(*sides[0]) if sides[0] is not None else None
    limit = threshold(sure_N, right_N, RISK)
    answered = float((sure_N >= limit).mean()) if limit is not None else 0.0
    advice = f"answering only from a confidence of {limit:.3f} on keeps wrong answers below {RISK:.0%} and answers {answered:.0%}" if limit is not None else f"no confidence keeps wrong answers surely below {RISK:.0%} on so many rows"
    sentence = f"confidence and accuracy differ by {value:.3f} on average (95 % interval {low:.3f} to {high:.3f}); {advice}"
    details = {"threshold": limit, "risk": RISK, "answered": answered, "thresholds": thresholds(sure_N, right_N), "curve": curve(sure_N, right_N)}
    return [Found("calibration", before, value, value, low, high, len(sure_N), RED_LINE, sentence, details)]


def confidences(answers: Sequence, subject: Subject) -> tuple[np.ndarray, np.ndarray] | None:
    """Confidence of each answer and whether it is right; None where there is none."""
    if not answers or any(not answer.probabilities or answer.label is None for answer in answers):
        return None
    sure = np.array([answer.probabilities.get(answer.label, 0.0) for answer in answers])
    return sure, np.array([answer.label == subject.task.target(row) for answer, row in zip(answers, subject.held_out)])


def expected_error(sure_N: np.ndarray, right_N: np.ndarray) -> float:
    """Over bins of equally many rows."""
    order = np.argsort(sure_N, kind="stable")
    parts = np.array_split(order, min(BINS, len(order)))
    return float(sum(abs(sure_N[part].mean() - right_N[part].mean()) * len(part) for part in parts if len(part)) / len(order))


def curve(sure_N: np.ndarray, right_N: np.ndarray, points: int = 20) -> list[dict]:
    """[{coverage, risk, confidence}] for the surest 5 %, 10 % ... of the rows."""
    order = np.argsort(-sure_N, kind="stable")
    counts = sorted({max(1, round(len(order) * step / points)) for step in range(1, points + 1)})
    return [{"coverage": count / len(order), "risk": float(1 - right_N[order[:count]].mean()), "confidence": float(sure_N[order[count - 1]])} for count in counts]


def thresholds(sure_N: np.ndarray, right_N: np.ndarray) -> list[dict]:
    """[{risk, threshold, answered}] for each risk that a server can be told; threshold None where so many rows cannot promise it."""
    limits = [(risk, threshold(sure_N, right_N, risk)) for risk in RISKS]
    return [{"risk": risk, "threshold": limit, "answered": 0.0 if limit is None else float((sure_N >= limit).mean())} for risk, limit in limits]


def threshold(sure_N: np.ndarray, right_N: np.ndarray, risk: float) -> float | None:
    """Walk from the surest down (fixed sequence, so no correction for many looks) and stop where the bound first leaves the risk."""
    order, wrong, found = np.argsort(-sure_N, kind="stable"), 0, None
    first = int(np.ceil(np.log(0.05) / np.log(1 - risk)))
    """Rows without an error that are needed to say anything."""
    for count, at in enumerate(order, 1):
        wrong += not right_N[at]
        if count < first or (count < len(order) and sure_N[order[count]] == sure_N[at]):
            continue
        if scipy.stats.beta.ppf(0.95, wrong + 1, count - wrong) > risk if wrong < count else True:
            break
        found = float(sure_N[at])
    return found
