"""Contestants answer the same test rows; what they said is kept in the run's folder, so that an interrupted comparison goes on."""
import json
import resource
from collections.abc import Mapping, Sequence

from luthier.evaluation.contestants import CONTESTANTS, make
from luthier.evaluation.prices import read as read_prices
from luthier.evaluation.results import Result, as_csv, as_latex, lines, table
from luthier.evaluation.settings import EvaluationSettings
from luthier.evaluation.verdict import Rule
from luthier.evaluation.verdict import verdict as judge
from luthier.files import digest, read_json_lines, write_file, write_json
from luthier.models.energy import joules, used
from luthier.runs.evaluations import record
from luthier.runs.events import Event, Say
from luthier.runs.folder import Run, runs_root
from luthier.tasks.answers import Answer
from luthier.tasks.task import Detailing
from luthier.verbs.lending import lent, may_lend


def chosen_rows(records: Sequence, most: int | None) -> list:
    """At most so many rows, evenly spread over the split: files are often sorted by label, and their first rows would stand for one part only."""
    if most is None or len(records) <= most:
        return list(records)
    return [records[index * len(records) // most] for index in range(most)]


def compare(run: Run, task, settings: EvaluationSettings, records: Sequence, *, names: Sequence[str], fingerprint: str, say: Say, asking: str = "", **materials) -> dict[str, Result]:
    """Results of the named contestants on these rows; those already kept in the folder for the same rows and model are read, not asked again.

    `asking` is the hash under which other runs may lend their answers and take these; empty: neither.
    """
    run.evaluation_folder.mkdir(exist_ok=True)
    found = {}
    for name in names:
        key = digest(name, fingerprint, str(len(records)))
        lends = asking if may_lend(name) else ""
        kept = read_answers(run, name, key) or borrow(run, name, key, lends, len(records), say)
        if kept is None:
            say(Event("phase", f"{name} answers {len(records):,} test rows", {"name": f"test rows: {name}"}))
            contestant = make(name, shots=settings.shots, **materials)
            before = joules()
            answers = contestant.answer(records)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            kept = answers, {"note": "; ".join(part for part in (contestant.note, *contestant.told) if part), "setup_seconds": contestant.seconds, "energy_joules": used(before, joules()), "memory_bytes": memory}
            keep_answers(run, name, key, *kept, asking=lends)
        answers, made = kept
        facts = {name: value for name, value in made.items() if name != "lender"}
        found[name] = Result(name, answers, task.score(answers, records), **{**facts, "note": how_made(name, made)}, hosted=name == "endpoint")
    return found


def how_made(name: str, made: dict) -> str:
    """A contestant's note, with the run that lent its answers."""
    note = made["note"] or CONTESTANTS[name].sentence
    return f"{note}; answered in run {made['lender']}, where all was the same" if "lender" in made else note


def borrow(run: Run, name: str, key: str, asking: str, rows: int, say: Say) -> tuple[list[Answer], dict] | None:
    """Another run's answers to the same questions under the same circumstances, kept here too; None where nobody has them."""
    found = lent(run, name, asking, rows) if asking else None
    if found is not None:
        keep_answers(run, name, key, *found, asking=asking)
        say(Event("note", f"{name}: its {rows:,} answers are those of run {found[1]['lender']}, where all was the same (evaluation.reuse=false asks again)", {"contestant": name, "lender": found[1]["lender"]}))
    return found


def keep_answers(run: Run, name: str, key: str, answers: Sequence[Answer], made: dict, *, asking: str = "") -> None:
    """Answers as they were given, for a resumed run and for whoever computes another figure from them."""
    rows = [{"key": key, "asking": asking, **made}, *(vars(answer) for answer in answers)]
    write_file(run.evaluation_folder / f"{name}.answers.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_answers(run: Run, name: str, key: str) -> tuple[list[Answer], dict] | None:
    """Answers kept under the same key, else None."""
    path = run.evaluation_folder / f"{name}.answers.jsonl"
    if not path.exists():
        return None
    head, *rows = read_json_lines(path)
    return ([Answer(**row) for row in rows], {name: value for name, value in head.items() if name not in ("key", "asking")}) if head["key"] == key else None


def conclude(run: Run, task, settings: EvaluationSettings, results: Sequence[Result], records: Sequence, *, test_split: str, notice: str, seed: int, beside: Mapping[str, dict] | None = None) -> dict:
    """Tables, per-row files and the verdict, written into the run's folder; returns the verdict. `beside`: what else was measured, for the verdict."""
    times = record(runs_root(), test_split=test_split, run=run.name)
    options = {"confidence": settings.confidence, "resamples": settings.resamples, "seed": seed}
    questions, targets = [task.question(row) for row in records], [task.target(row) for row in records]
    for result in results:
        details = [task.details(row, answer) for row, answer in zip(records, result.answers, strict=True)] if isinstance(task, Detailing) else ()
        rows = lines(result, headline=task.headline, questions=questions, targets=targets, origins=[row.origin for row in records], details=details)
        write_file(run.evaluation_folder / f"{result.name}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_json(run.evaluation_folder / "results.json", table(results, headline=task.headline, **options))
    groups = [row.group for row in records]
    rule = Rule(settings.margin, settings.volume, read_prices(settings.prices))
    found = judge(results, metric=task.headline, times_evaluated=times, notice=notice, groups=groups if any(groups) else (), rule=rule, beside=beside, **options)
    write_json(run.path / "verdict.json", found)
    write_file(run.evaluation_folder / "contestants.csv", as_csv(found["contestants"]))
    write_file(run.evaluation_folder / "contestants.tex", as_latex(found["contestants"], found["metric"]))
    return found
