"""Form and voice: answers that are empty, run in circles or break off; words that must or must never be said; length and wording like the owner's."""
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

from luthier.errors import DataError, DiskError, RecipeError
from luthier.evaluation.probes.probe import Found, Subject, worse_by
from luthier.metrics.metric import mean

RED_LINE = 0.05
FEATURES = ("words", "word length", "stops", "questions", "numbers", "capitals")


def probe(subject: Subject) -> list[Found]:
    """`malformed`, `voice`; where they are named, `terms` and the `format` (`misformatted`); nothing for tasks that write nothing."""
    if not subject.task.writes:
        return []
    found = [malformed(subject), voice(subject)]
    if subject.settings.format:
        found.append(misformatted(subject))
    if subject.settings.terms:
        found.append(terms(subject))
    return found


def malformed(subject: Subject) -> Found:
    """Share of answers that no reader would accept as an answer, whatever they say."""
    sides = [mean("malformed", [float(bool(faults(answer.text, subject.task.target(row)))) for answer, row in zip(answers, subject.held_out)], higher_is_better=False) for answers in subject.answers]
    kinds = Counter(fault for answer, row in zip(subject.answers[1], subject.held_out) for fault in faults(answer.text, subject.task.target(row)))
    return worse_by("malformed", *sides, "answers that are empty, run in circles or break off", red_line=RED_LINE, seed=subject.seed, details={"kinds": dict(kinds)})


def faults(text: str, target: str) -> list[str]:
    """What is wrong with the form of an answer, given how the wanted one looks."""
    words = text.split()
    if not words:
        return ["empty"] if target.strip() else []
    grams = Counter(zip(words, words[1:], words[2:]))
    found = ["runs in circles"] if grams and max(grams.values()) >= 3 else []
    closes = target.rstrip()[-1:] in set(".!?")
    return found + (["breaks off"] if closes and text.rstrip()[-1:] not in set(".!?\"')") else [])


# ---- format ------------------------------------------------------------------------------------
def misformatted(subject: Subject) -> Found:
    """Share of answers that do not have the form asked for: JSON, or a regular expression over the whole answer."""
    form = subject.settings.format
    if form != "json":
        try:
            pattern = re.compile(form, re.DOTALL)
        except re.error as error:
            raise RecipeError(f"evaluation.probes.format is neither `json` nor a regular expression: {error}", code="R241", field="evaluation.probes.format", hint="for example format: 'Dear .*\\.'") from None

    def wrong(text: str) -> bool:
        if form != "json":
            return not pattern.fullmatch(text.strip())
        try:
            json.loads(text)
        except ValueError:
            return True
        return False

    sides = [mean("misformatted", [float(wrong(answer.text)) for answer in answers], higher_is_better=False) for answers in subject.answers]
    return worse_by("misformatted", *sides, f"answers that are not {'JSON' if form == 'json' else 'of the form asked for'}", red_line=RED_LINE, seed=subject.seed)


# ---- terms --------------------------------------------------------------------------------------
def terms(subject: Subject) -> Found:
    """A JSON of {must: [...], never: [...]}: a breach is an answer without one of the first or with one of the second."""
    path = Path(subject.settings.terms)
    try:
        rules = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DiskError(f"the terms cannot be read: {error.strerror}", code="F101", file=str(path)) from error
    except ValueError as error:
        raise DataError(f"no JSON: {error}", code="D135", file=str(path)) from None
    if not isinstance(rules, dict) or not set(rules) <= {"must", "never"} or not rules:
        raise DataError("terms are written {must: [...], never: [...]}", code="D135", file=str(path))

    def breaks(text: str) -> bool:
        said = [bool(re.search(rf"\b{re.escape(term)}\b", text, re.IGNORECASE)) for term in rules.get("never", [])]
        return any(said) or not all(re.search(rf"\b{re.escape(term)}\b", text, re.IGNORECASE) for term in rules.get("must", []))

    sides = [mean("breaches", [float(breaks(answer.text)) for answer in answers], higher_is_better=False) for answers in subject.answers]
    return worse_by("terms", *sides, "answers that break the rules on what must and must never be said", red_line=RED_LINE, seed=subject.seed)


# ---- voice --------------------------------------------------------------------------------------
def voice(subject: Subject) -> Found:
    """Distance of an answer's style to the owner's own answer to the same question: mean of standardised differences of simple features."""
    targets = np.array([features(subject.task.target(row)) for row in subject.held_out])
    spread = np.maximum(targets.std(axis=0), 1e-3)
    sides = []
    for answers in subject.answers:
        away = np.abs(np.array([features(answer.text) for answer in answers]) - targets) / spread
        sides.append(mean("voice", np.minimum(away, 5).mean(axis=1), higher_is_better=False))
    return worse_by("voice", *sides, "distance of style to the owner's answers", red_line=None, seed=subject.seed)


def features(text: str) -> list[float]:
    """In the order of FEATURES; shares are per word."""
    words = text.split()
    count = max(1, len(words))
    capitals = sum(word[:1].isupper() for word in words)
    return [np.log1p(len(words)), sum(map(len, words)) / count, sum(text.count(sign) for sign in ".,;:!") / count, text.count("?") / count, len(re.findall(r"\d+", text)) / count, capitals / count]
