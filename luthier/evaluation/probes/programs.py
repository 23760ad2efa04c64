"""Programs: pass@1, the share of programming tasks whose first answer runs through its tests (Chen et al. 2021, arXiv:2107.03374).

The answer's code (its first fenced block, else all of it) is run in a bounded process (`sandbox.py`) with the task's tests behind it. The figure is
programs_failed = 1 - pass@1, so that more is worse, as everywhere here.
"""
import re
from collections import Counter
from dataclasses import dataclass

from luthier.data.records import Conversation, Message
from luthier.errors import DataError
from luthier.evaluation.probes import sandbox
from luthier.evaluation.probes.general import lines, parsed, spread
from luthier.evaluation.probes.probe import Found, Subject, worse_by
from luthier.metrics.metric import mean

RED_LINE = 0.05
FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """A programming task."""

    question: str
    tests: str
    """Python that raises where the program is wrong."""
    begun: str = ""
    """Code that the question begins and an answer may leave out."""
    name: str = ""
    """The function that `begun` begins."""


def probe(subject: Subject) -> list[Found]:
    """`programs_failed`; nothing for tasks that are no conversation."""
    if subject.task.record is not Conversation or not subject.task.writes:
        return []
    asked = tasks(subject.settings.programs)
    rows = [Conversation((Message("user", one.question), Message("assistant", "?"))) for one in asked]
    sides, reasons, held = [], Counter(), set()
    for model in (subject.before, subject.after):
        outcomes = [sandbox.run(code_of(answer.text, one), one.tests) for answer, one in zip(model.respond(rows, None), asked, strict=True)]
        sides.append(mean("programs_failed", [float(not one.passed) for one in outcomes], higher_is_better=False))
        reasons = Counter(one.why.split(":")[0] for one in outcomes if not one.passed)
        held |= {one.held_by for one in outcomes if one.held_by}
    details = {"pass_at_1": {"before": 1 - sides[0].value, "after": 1 - sides[1].value}, "reasons": dict(reasons.most_common(8)), "held_by": sorted(held)}
    return [worse_by("programs_failed", *sides, "programs that do not run through their tests (1 - pass@1)", red_line=RED_LINE, seed=subject.seed, details=details)]


def code_of(text: str, task: Task) -> str:
    """The program in an answer, led by what its question began where it does not say it again."""
    found = FENCE.search(text)
    code = found.group(1) if found else text
    return code if not task.begun or re.search(rf"^\s*def {re.escape(task.name)}\b", code, re.MULTILINE) else f"{task.begun}{code}"


def tasks(path: str | None) -> list[Task]:
    """`{question, tests}` a line; HumanEval's `{prompt, test, entry_point}` is read too."""
    raw, name = lines(path, "programs.jsonl")
    return spread([task_of(parsed(line, name, number), name, number) for number, line in enumerate(raw, 1) if line.strip()], name)


def task_of(row: dict, name: str, number: int) -> Task:
    if {"question", "tests"} <= set(row):
        return Task(str(row["question"]), str(row["tests"]))
    if {"prompt", "test", "entry_point"} <= set(row):
        return Task(str(row["prompt"]), f"{row['test']}\ncheck({row['entry_point']})", str(row["prompt"]), str(row["entry_point"]))
    raise DataError("a programming task has `question` and `tests`, or `prompt`, `test` and `entry_point`", code="D135", file=name, line=number)
