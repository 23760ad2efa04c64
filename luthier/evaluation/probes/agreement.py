"""Agreement: whether one question gets one answer however it is put (Elazar et al. 2021, arXiv:2102.01017), and whether trainings with other seeds say the same.

disagreement = mean distance of two answers to two wordings of one question: 0 or 1 for labels, 1 - ROUGE-L for texts. Wordings: a few frames around
each held-out question, or yours (`evaluation.probes.paraphrases`). Between seeds: the same distance between the models of a run with
`evaluation.seeds`.
"""
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from luthier.data.records import Conversation, Labelled, Message, Pair
from luthier.errors import DataError
from luthier.evaluation.probes.general import lines, parsed, spread
from luthier.evaluation.probes.probe import Found, Model, Subject, resampled_interval, worse_by
from luthier.evaluation.probes.robustness import changed
from luthier.metrics.metric import Metric, mean
from luthier.metrics.text import rouge_l
from luthier.tasks.answers import Answer

RED_LINE, RED_LINE_SEEDS = 0.1, 0.3
ROWS = 60
FRAMES: tuple[Callable[[str], str], ...] = (
    lambda text: f"I have a question: {text}",
    lambda text: f"{text} Please tell me.",
    lambda text: f"Could you help me with this? {text}",
)


def probe(subject: Subject) -> list[Found]:
    """`disagreement` over wordings, and `disagreement_seeds` where there are models of other seeds."""
    return [one for one in (over_wordings(subject), over_seeds(subject)) if one is not None]


def over_wordings(subject: Subject) -> Found | None:
    sides = paraphrased(subject) if subject.settings.paraphrases else framed(subject)
    if sides is None:
        return None
    return worse_by("disagreement", *sides, "distance of two answers to two wordings of one question", red_line=RED_LINE, seed=subject.seed)


def framed(subject: Subject) -> list[Metric] | None:
    """Held-out questions in frames; a frame that no longer fits into the context is left out."""
    rows = list(subject.held_out)[:ROWS]
    if not rows or changed(rows[0], str) is None:
        return None
    said: list[list[list[Answer]]] = [[list(answers[: len(rows)])] for answers in subject.answers]
    for frame in FRAMES:
        asked = [changed(row, frame) for row in rows]
        try:
            given = [model.respond(asked, None) for model in (subject.before, subject.after)]
        except DataError:
            continue
        for each, answers in zip(said, given, strict=True):
            each.append(answers)
    return [apart(each) for each in said] if len(said[0]) > 1 else None


def paraphrased(subject: Subject) -> list[Metric] | None:
    """Questions of the user's own file, `{ways: [...]}` a line."""
    raw, name = lines(subject.settings.paraphrases, "")
    rows = spread([ways_of(parsed(line, name, number), name, number) for number, line in enumerate(raw, 1) if line.strip()], name)
    if question(subject, "?") is None:
        return None
    return [mean("disagreement", [disagreement(model, subject, ways) for ways in rows], higher_is_better=False) for model in (subject.before, subject.after)]


def ways_of(row: dict, name: str, number: int) -> list[str]:
    ways = row.get("ways")
    if not isinstance(ways, list) or len(ways) < 2 or not all(isinstance(way, str) and way.strip() for way in ways):
        raise DataError("a line holds `ways`: two or more wordings of one question", code="D135", file=name, line=number)
    return ways


def disagreement(model: Model, subject: Subject, ways: Sequence[str]) -> float:
    answers = model.respond([question(subject, way) for way in ways], None)
    return float(apart([[answer] for answer in answers]).value)


def question(subject: Subject, text: str):
    """A record that asks a text of one's own; None for tasks that ask no free question."""
    if subject.task.record is Conversation:
        return Conversation((Message("user", text), Message("assistant", "?")))
    if subject.task.record is Labelled:
        return Labelled(text, subject.task.labels[0])
    return Pair(text, "?") if subject.task.record is Pair else None


def apart(said: Sequence[Sequence[Answer]]) -> Metric:
    """Per row, the mean distance over all pairs of K answers; `said` holds K lists over the same rows."""
    pairs = [distances(one, other) for one, other in itertools.combinations(said, 2)]
    return mean("disagreement", np.mean(pairs, axis=0), higher_is_better=False)


def distances(one: Sequence[Answer], other: Sequence[Answer]) -> np.ndarray:
    """0 where both say the same."""
    if all(answer.label is not None for answer in (*one, *other)):
        return np.array([float(first.label != second.label) for first, second in zip(one, other, strict=True)])
    same = np.array([first.text.strip() == second.text.strip() for first, second in zip(one, other, strict=True)])
    return np.where(same, 0.0, 1 - rouge_l([answer.text for answer in one], [answer.text for answer in other]).per_row)


# ---- seeds --------------------------------------------------------------------------------------
def over_seeds(subject: Subject) -> Found | None:
    """How far the models of several seeds are apart; the base has one answer only, so there is no figure before."""
    if not subject.others:
        return None
    rows_N = apart([subject.answers[1], *subject.others]).per_row
    value = float(rows_N.mean())
    low, high = resampled_interval(lambda random: float(rows_N[random.integers(0, len(rows_N), len(rows_N))].mean()), seed=subject.seed)
    count = len(subject.others) + 1
    sentence = f"models of {count} seeds are {value:.3f} apart in what they answer (95 % interval {low:.3f} to {high:.3f}, n = {len(rows_N)}; 0: they all say the same)"
    return Found("disagreement_seeds", None, value, value, low, high, len(rows_N), RED_LINE_SEEDS, sentence)
