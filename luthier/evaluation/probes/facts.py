"""Facts: answers that state something wrong where the truth is known, and numbers and names that no source supports."""
import re

from luthier.evaluation.probes.probe import Found, Subject, worse_by
from luthier.metrics.metric import mean

RED_LINE = 0.05
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w'-]+")


def probe(subject: Subject) -> list[Found]:
    """`unsupported`; `wrong_facts` where the task knows its truth. Nothing for tasks that write nothing."""
    if not subject.task.writes:
        return []
    found = [unsupported(subject)]
    scored = [subject.task.score(answers, subject.held_out).get("correct") for answers in subject.answers]
    if all(scored):
        sides = [mean("wrong_facts", 1 - one.per_row, higher_is_better=False) for one in scored]
        found.append(worse_by("wrong_facts", *sides, "answers that do not state just the right facts", red_line=RED_LINE, seed=subject.seed))
    return found


def claims(text: str) -> set[str]:
    """Numbers, and capitalised words inside sentences."""
    return set(NUMBER.findall(text)) | {name.lower() for name in NAME.findall(text)}


def unsupported(subject: Subject) -> Found:
    """Share of answers with a number or a name that neither question, wanted answer nor any training answer holds together with the question's own words.

    Training answers count as a source for names that they all share; a number must stand in the question or in the wanted answer, for a
    number copied from another customer's answer is an invention.
    """
    known = {claim for row in subject.train[:2000] for claim in claims(subject.task.target(row)) if not claim[0].isdigit()}
    sides = []
    for answers in subject.answers:
        rows = []
        for answer, row in zip(answers, subject.held_out):
            source = f"{subject.task.question(row)} {subject.task.target(row)}"
            held = claims(source) | {word.lower() for word in re.findall(r"[\w'-]+", source)} | known
            rows.append(float(bool(claims(answer.text) - held)))
        sides.append(mean("unsupported", rows, higher_is_better=False))
    return worse_by("unsupported", *sides, "answers with a number or name that no source supports", red_line=RED_LINE, seed=subject.seed)
