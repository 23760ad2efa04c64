"""Forgetting: what tuning took from the model outside its task (McCloskey and Cohen 1989; Luo et al. 2023, arXiv:2308.08747).

forgetting = bits per character on general text after / before - 1: 0.02 means that general text costs 2 % more bits. And accuracy on
questions outside the task, answered by the likelier ending (per character, so that long endings are not punished).
"""
from collections.abc import Sequence

import numpy as np

from luthier.evaluation.probes.general import Choice, likeliest, questions, texts
from luthier.evaluation.probes.probe import Found, Model, Subject, worse_by
from luthier.evaluation.statistics import interval
from luthier.metrics.metric import Metric, from_parts, mean

RED_LINE = 0.02
RED_LINE_QUESTIONS = 0.05


def probe(subject: Subject) -> list[Found]:
    """`forgetting` and `forgetting_questions`; nothing for models that predict no text."""
    if subject.before.nats is None or subject.after.nats is None:
        return []
    return [on_texts(subject), on_questions(subject)]


def on_texts(subject: Subject) -> Found:
    passages = texts(subject.settings.general)
    return dearer(passages, *(np.array(model.nats(passages)) for model in (subject.before, subject.after)), seed=subject.seed)


def dearer(passages: Sequence[str], before_N: np.ndarray, after_N: np.ndarray, *, seed: int = 0) -> Found:
    """How much more general text costs, from the nats of each passage before and after."""
    found, bits = relative_rise(before_N, after_N), 1 / np.log(2) / sum(len(text) for text in passages)
    ends = interval(found, seed=seed)
    sentence = (
        f"general text costs {before_N.sum() * bits:.3f} bits per character before and {after_N.sum() * bits:.3f} after: {100 * found.value:+.1f} % "
        f"(95 % interval {100 * ends.low:+.1f} to {100 * ends.high:+.1f} %, {len(passages)} passages)"
    )
    return Found("forgetting", float(before_N.sum() * bits), float(after_N.sum() * bits), found.value, ends.low, ends.high, len(passages), RED_LINE, sentence)


def relative_rise(before_N: np.ndarray, after_N: np.ndarray) -> Metric:
    """after / before - 1 of summed nats, as a figure that can be drawn again."""

    def finish(sums_RS: np.ndarray) -> np.ndarray:
        return sums_RS[:, 1] / sums_RS[:, 0] - 1

    return from_parts("forgetting", np.stack([before_N, after_N], axis=1), finish, per_row=after_N / before_N - 1, higher_is_better=False)


def on_questions(subject: Subject) -> Found:
    asked = questions(subject.settings.questions)
    before, after = (mean("accuracy", right(model, asked)) for model in (subject.before, subject.after))
    return worse_by("forgetting_questions", before, after, "questions outside the task answered right", red_line=RED_LINE_QUESTIONS, seed=subject.seed)


def right(model: Model, asked: list[Choice]) -> list[float]:
    """1 where the right ending is the likeliest per character."""
    return [float(chosen == one.answer) for chosen, one in zip(likeliest(model, asked), asked, strict=True)]
