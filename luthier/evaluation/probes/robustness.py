"""Robustness: the same questions with typing errors, in capitals, without capitals and stops, or with words around them; how much the figure falls."""
import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from luthier.data.records import Conversation, Labelled, Pair
from luthier.errors import DataError
from luthier.evaluation.probes.probe import Found, Subject
from luthier.evaluation.statistics import difference

RED_LINE = 0.1
ROWS = 100


def typos(text: str, random: np.random.Generator) -> str:
    """Two neighbouring letters change places in every sixth longer word, at least in one."""
    places = [match for match in re.finditer(r"[^\W\d_]{4,}", text)]
    if not places:
        return text
    letters = list(text)
    for at in random.choice(len(places), max(1, len(places) // 6), replace=False):
        start = places[at].start() + int(random.integers(1, len(places[at].group()) - 1))
        letters[start], letters[start - 1] = letters[start - 1], letters[start]
    return "".join(letters)


CHANGES: dict[str, Callable[[str, np.random.Generator], str]] = {
    "typos": typos,
    "capitals": lambda text, random: text.upper(),
    "hasty": lambda text, random: re.sub(r"[.,;:!?'\"]", "", text).lower(),
    "politeness": lambda text, random: f"Hello, I hope you are well. {text} Many thanks in advance!",
}


def changed(record, change: Callable[[str], str]):
    """A record whose question is written otherwise; the answer wanted stays. None for records that ask nothing."""
    if isinstance(record, Labelled):
        return dataclasses.replace(record, text=change(record.text))
    if isinstance(record, Pair):
        return dataclasses.replace(record, source=change(record.source))
    if not isinstance(record, Conversation):
        return None
    last = max((index for index, message in enumerate(record.messages[:-1]) if message.role == "user"), default=None)
    if last is None:
        return None
    messages = list(record.messages)
    messages[last] = dataclasses.replace(messages[last], content=change(messages[last].content))
    return dataclasses.replace(record, messages=tuple(messages))


def probe(subject: Subject) -> list[Found]:
    """`robustness`: the worst fall of the tuned model's headline figure over all ways of writing; before: the base's worst fall."""
    rows = list(subject.held_out)[:ROWS]
    if not rows or changed(rows[0], str) is None:
        return []
    falls = {name: found for name in CHANGES if (found := fall(subject, rows, name)) is not None}
    if not falls:
        return []
    worst = max(falls, key=lambda name: falls[name][1].value)
    before, after = falls[worst]
    listed = {name: {"before": one.value, "after": other.value} for name, (one, other) in falls.items()}
    sentence = f"questions written otherwise cost the tuned model at most {after.value:+.3f} ({worst}; 95 % interval {after.low:+.3f} to {after.high:+.3f}), the base {before.value:+.3f}"
    return [Found("robustness", before.value, after.value, after.value, after.low, after.high, len(rows), RED_LINE, sentence, {"changes": listed})]


def fall(subject: Subject, rows: Sequence, name: str):
    """How much worse the base and the tuned model answer when the questions are written so; None where they no longer fit into the context."""
    random = np.random.default_rng((subject.seed, sorted(CHANGES).index(name)))
    asked = [changed(row, lambda text: CHANGES[name](text, random)) for row in rows]
    try:
        given = [model.respond(asked, None) for model in (subject.before, subject.after)]
    except DataError:
        return None
    found = []
    for answers, kept in zip(given, subject.answers, strict=True):
        plain = subject.task.score(kept[: len(rows)], rows)[subject.task.headline]
        found.append(difference(plain, subject.task.score(answers, asked)[subject.task.headline], resamples=500, seed=subject.seed))
    return found
