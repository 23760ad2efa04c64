"""Topic: answers that have nothing to do with what was asked.

off_topic = share of answers that share no telling word with their question or its wanted answer. Telling are words of four letters and more that
stand in at most a fifth of all questions and wanted answers: greetings and the words that everybody uses say nothing.
"""
import re
from collections import Counter

from luthier.evaluation.probes.probe import Found, Subject, worse_by
from luthier.metrics.metric import mean

RED_LINE = 0.05
COMMON = 0.2
WORD = re.compile(r"[^\W\d_]{4,}|\d+")


def probe(subject: Subject) -> list[Found]:
    """`off_topic`; nothing for tasks that write nothing, and rows without a telling word are not judged."""
    if not subject.task.writes:
        return []
    wanted = [words(f"{subject.task.question(row)} {subject.task.target(row)}") for row in subject.held_out]
    count = Counter(word for each in wanted for word in each)
    telling = [{word for word in each if count[word] <= max(1, COMMON * len(wanted))} for each in wanted]
    rows = [at for at, each in enumerate(telling) if each]
    if not rows:
        return []
    sides = [mean("off_topic", [float(not words(answers[at].text) & telling[at]) for at in rows], higher_is_better=False) for answers in subject.answers]
    return [worse_by("off_topic", *sides, "answers that share no telling word with their question or its wanted answer", red_line=RED_LINE, seed=subject.seed)]


def words(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text)}
