"""`tables`: fine-tuning against prompting and against retrieval as figures: facts change after training, and each contestant of a run follows in its own way."""
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.data.dataset import DataSet
from luthier.data.records import Conversation, Message
from luthier.data.samples import changes
from luthier.errors import DataError, DiskError, RecipeError
from luthier.evaluation import two_tables
from luthier.evaluation.contestants import Contestant, after_training, make
from luthier.evaluation.probes.agreement import FRAMES, apart
from luthier.evaluation.probes.general import parsed
from luthier.evaluation.probes.robustness import changed as worded
from luthier.evaluation.report import write_report
from luthier.evaluation.statistics import interval
from luthier.files import read_json, write_file, write_json
from luthier.metrics.metric import Metric, mean
from luthier.runs.events import Event, Say, silent
from luthier.training import checkpoint
from luthier.verbs.compare import answers_of
from luthier.verbs.comparing import chosen_rows
from luthier.verbs.leading import asked_as_trained
from luthier.verbs.materials import gather
from luthier.verbs.opening import Opened, open_run
from luthier.verbs.results import Answered
from luthier.verbs.stages import embedder, respond_with
from luthier.verbs.stopping import Stopping
from luthier.verbs.work import Work

LEFT_OUT = ("scratch",)
"""Contestants whose making is a training of its own."""
FEWEST = 10
"""Rows below which nothing can be trained on."""
COUNT = 20
"""Facts of the sample shop that change."""


@dataclass
class Question:
    """A question about a changed fact."""

    record: Conversation
    new: str
    old: str


@dataclass
class Change:
    """What is different after the change."""

    learn: list[Conversation]
    ask: list[Question]
    documents: str | None
    """The new documents; None: the rows to learn from are added to the training rows."""
    truth: str
    facts: int
    learn_file: Path


def tables(name: str, *, changed: str | None = None, rows: int = 30, say: Say = silent) -> Answered:
    """Measure both tables of a finished run and write them into it. Returns `{run, folder, metric, currency, changed, facts, approaches, sentence}`.

    `changed`: a folder with learn.jsonl (conversations that tell the new facts), ask.jsonl (questions with `new` and `old` values) and, where the run
    searches documents, the new ones (papers.md); None: twenty facts of the sample shop. `rows`: test rows for consistency and for what an update costs.
    """
    base = open_run(name, say, tuned=False)
    if base.task.record is not Conversation:
        raise RecipeError(f"{base.run.name} learned {base.task.name}, and facts change in what a conversation answers", code="R242", field="task", hint="run it on a chat run, for example after luthier demo")
    with base.run.lock(), Stopping() as stopping:
        change = read_change(base, changed)
        say(Event("note", f"{change.facts} facts change: {len(change.learn)} rows tell of them, {len(change.ask)} questions ask"))
        both = Both(base, open_run(name, say), change, rows, stopping, say)
        found = both.measured()
        write(base, found)
    return Answered({"run": base.run.name, "folder": str(base.run.path), **found})


def cells(found: dict) -> list[tuple[str, list[str], list[list[str]]]]:
    """Both tables as text: [(title, head, lines)]."""
    return [("when facts change", *two_tables.facts_cells(found)), ("what each approach gives, costs and needs", *two_tables.approaches_cells(found))]


# ---- the change ---------------------------------------------------------------------------------
def read_change(base: Opened, folder: str | None) -> Change:
    """The user's change, or one of the sample shop where the run learned its conversations."""
    if folder is None:
        beside = Path(base.recipe.data.train).parent / "sample.json"
        if not beside.is_file() or read_json(beside).get("kind") != "chat":
            raise RecipeError("which facts change? This run did not learn the sample shop", code="R242", field="changed", hint="name a folder with learn.jsonl and ask.jsonl: luthier tables RUN --changed FOLDER")
        folder = str(changes.write(base.run.path / "changed", count=COUNT, seed=base.recipe.seed))
    place = Path(folder)
    learn, ask = (read_rows(place / f"{part}.jsonl") for part in ("learn", "ask"))
    if len(learn) < FEWEST:
        raise DataError(f"{len(learn)} rows tell of the change; a model can be trained on {FEWEST} or more", code="D120", file=str(place / "learn.jsonl"), hint="write each fact in several wordings")
    questions = [Question(conversation(row, place / "ask.jsonl", at), word_of(row, "new", place, at), str(row.get("old", ""))) for at, row in enumerate(ask, 1)]
    listed = place / "facts.json"
    facts = len(read_json(listed)) if listed.is_file() else len({(one.new, one.old) for one in questions})
    papers = next((str(path) for path in sorted(place.glob("papers.*"))), None)
    truth = str(place / "truth.jsonl") if (place / "truth.jsonl").is_file() else ""
    return Change([conversation(row, place / "learn.jsonl", at) for at, row in enumerate(learn, 1)], questions, papers, truth, facts, place / "learn.jsonl")


def read_rows(path: Path) -> list[dict]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DiskError(f"a change of facts needs {path.name}: {error}", code="F101", file=str(path), hint="learn.jsonl holds conversations, ask.jsonl the same with `new` and `old`") from error
    rows = [parsed(line, str(path), at) for at, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError("the file has no rows", code="D120", file=str(path))
    return rows


def conversation(row: dict, path: Path, line: int) -> Conversation:
    turns = row.get("messages")
    if not isinstance(turns, list) or len(turns) < 2 or not all(isinstance(turn, dict) and isinstance(turn.get("content"), str) and turn.get("role") in ("system", "user", "assistant") for turn in turns) or turns[-1]["role"] != "assistant":
        raise DataError("a row holds `messages`, the last one of the assistant", code="D135", file=str(path), line=line)
    return Conversation(tuple(Message(turn["role"], turn["content"]) for turn in turns))


def word_of(row: dict, name: str, place: Path, line: int) -> str:
    if not str(row.get(name, "")).strip():
        raise DataError(f"a question needs `{name}`: the value that is right now", code="D135", file=str(place / "ask.jsonl"), line=line, field=name)
    return str(row[name])


# ---- measuring ----------------------------------------------------------------------------------
class Both:
    """A run, asked before and after its facts change."""

    def __init__(self, base: Opened, tuned: Opened, change: Change, rows: int, stopping: Stopping, say: Say):
        self.base, self.tuned, self.change, self.stopping, self.say = base, tuned, change, stopping, say
        self.recipe, self.run = base.recipe, base.run
        data = DataSet(self.run.data_folder)
        self.train, self.validation = data.records("train"), data.records("validation")
        records = chosen_rows(data.records("test"), self.recipe.evaluation.max_rows)
        self.at = chosen_rows(range(len(records)), rows)
        self.test = [records[at] for at in self.at]
        self.results = read_json(self.run.evaluation_folder / "results.json")
        self.verdict = read_json(self.run.path / "verdict.json")

    def measured(self) -> dict:
        names = [name for name in self.recipe.evaluation.contestants if name not in LEFT_OUT and name in self.results["contestants"]]
        facts, approaches = [], []
        for name in names:
            self.say(Event("phase", f"{name}: before and after the change", {"name": f"tables: {name}"}))
            contestant, _ = self.made(name, self.opened(name), self.train, self.recipe.retrieval)
            facts.append(self.follows(name, contestant))
            approaches.append(self.approach(name, contestant))
        found = {
            "metric": self.results["headline"], "currency": (self.verdict.get("decision") or {}).get("currency", ""), "changed": self.change.facts, "questions": len(self.change.ask),
            "rows": len(self.test), "facts": facts, "approaches": approaches,
        }
        return {**found, "sentence": two_tables.sentence(found)}

    def opened(self, name: str) -> Opened:
        return self.tuned if after_training(name) else self.base

    def made(self, name: str, opened: Opened, train: Sequence, retrieval) -> tuple[Contestant, float]:
        """The contestant over these rows and documents, and the seconds that it took."""
        began = time.perf_counter()
        recipe = dataclasses.replace(self.recipe, retrieval=retrieval)
        embed = embedder(opened.language_model, opened.renderer)
        values = gather([name], recipe, opened.task, opened.language_model, opened.renderer, train=train, validation=self.validation, embed=embed, folder=self.run.path / "retrieval", say=silent).values
        respond = respond_with(opened.task, opened.language_model, opened.renderer, self.say)
        models = {"tuned": asked_as_trained(respond, opened.leading)} if after_training(name) else {"base": respond}
        return make(name, train=train, seed=recipe.seed, shots=recipe.evaluation.shots, embed=embed, **models, **values), time.perf_counter() - began

    # ---- the first table ------------------------------------------------------------------------
    def follows(self, name: str, contestant: Contestant) -> dict:
        """One line: right about the new facts before and after, how it followed, and what that cost elsewhere."""
        way = two_tables.stands_on(name)
        kept = answers_of(self.run, name)
        before, domain = self.new_facts(contestant), self.headline([kept[at] for at in self.at])
        line = {"name": name, "way": way, "seconds": None, "before": before, "after": before, "domain_before": domain, "domain_after": domain}
        if not way:
            return line
        after, spent = self.updated(name, way)
        return {**line, "seconds": spent, "after": self.new_facts(after), "domain_after": self.headline(after.answer(self.test))}

    def updated(self, name: str, way: str) -> tuple[Contestant, float]:
        """The contestant after it followed, and the seconds from the new rows or documents to a contestant that answers."""
        rows, retrieval = [*self.train, *self.change.learn], self.recipe.retrieval
        if way == "search" and self.change.documents:
            rows, retrieval = self.train, dataclasses.replace(retrieval, documents=self.change.documents)
        if way != "tuned":
            return self.made(name, self.opened(name), rows, retrieval)
        began = time.perf_counter()
        child = self.trained_on()
        contestant, _ = self.made(name, Opened(self.run, self.recipe, child.task, child.language_model, child.renderer), rows, retrieval)
        return contestant, time.perf_counter() - began

    def trained_on(self) -> Work:
        """The tuned model trained on the rows that tell the new facts, in a folder that is gone afterwards; the run's own model stays as it is."""
        start = checkpoint.pointed(self.run.path, "best")
        if start is None:
            raise RecipeError(f"{self.run.name} has no checkpoint to train on from", code="R242", hint="keep the run's checkpoints, or leave tuned out of its contestants")
        folder = Path(tempfile.mkdtemp(prefix=".update-", dir=self.run.path))
        try:
            data = dataclasses.replace(self.recipe.data, train=str(self.change.learn_file), validation=0.0, test=0.0, map={}, group=None, replay=0.0, replay_from=None, canaries=0)
            work = Work(self.run, self.recipe, self.say, self.stopping)
            return work.child(folder.name, data=data, start=start)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def new_facts(self, contestant: Contestant) -> dict:
        """Share of the questions about changed facts that are answered with the new value."""
        answers = contestant.answer([one.record for one in self.change.ask])
        rows = [float(two_tables.states(answer.text, one.new, one.old, self.base.task.target(one.record))) for answer, one in zip(answers, self.change.ask, strict=True)]
        return self.with_ends(mean("new facts", rows))

    def headline(self, answers: Sequence) -> float:
        return float(self.base.task.score(list(answers), self.test)[self.results["headline"]].value)

    def with_ends(self, metric: Metric) -> dict:
        ends = interval(metric, resamples=1000, seed=self.recipe.seed)
        return {"value": float(ends.value), "low": float(ends.low), "high": float(ends.high)}

    # ---- the second table -----------------------------------------------------------------------
    def approach(self, name: str, contestant: Contestant) -> dict:
        """One line: the run's own figures, agreement over wordings, and what must be put somewhere to have it."""
        known = self.results["contestants"][name]
        headline = known["metrics"][self.results["headline"]]
        cost = next((line.get("cost_per_thousand") for line in self.verdict["contestants"] if line["name"] == name), None)
        correct = known["metrics"].get("correct", {}).get("value")
        return {
            "name": name, "value": headline["value"], "low": headline["low"], "high": headline["high"], "correct": correct, "consistency": self.consistency(name, contestant), "cost_per_thousand": cost,
            **two_tables.needed(name, frozen=self.recipe.method.base_is_frozen, sizes=self.sizes()),
        }

    def consistency(self, name: str, contestant: Contestant) -> dict | None:
        """1 - the mean distance of two answers to two wordings of one question."""
        kept = answers_of(self.run, name)
        said = [[kept[at] for at in self.at]]
        for frame in FRAMES:
            try:
                said.append(contestant.answer([worded(row, frame) for row in self.test]))
            except DataError:
                continue
        return self.with_ends(mean("consistency", 1 - apart(said).per_row)) if len(said) > 1 else None

    def sizes(self) -> dict[str, int]:
        """Bytes of what may have to be deployed."""
        documents = self.recipe.retrieval.documents
        rows = weight(Path(self.recipe.data.train)) if Path(self.recipe.data.train).exists() else weight(self.run.data_folder)
        return {"base": weight(Path(self.base.language_model.folder)), "model": weight(self.run.model_folder), "rows": rows, "documents": weight(Path(documents)) if documents else rows}


def weight(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return path.stat().st_size if path.is_file() else sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def write(base: Opened, found: dict) -> None:
    """Values, CSV and LaTeX into the run's folder, and its report anew."""
    folder = base.run.evaluation_folder
    write_json(folder / "tables.json", found)
    for name, cells in (("facts", two_tables.facts_cells(found)), ("approaches", two_tables.approaches_cells(found))):
        write_file(folder / f"{name}.csv", two_tables.as_csv(*cells))
        write_file(folder / f"{name}.tex", two_tables.as_latex(*cells))
    write_report(base.run.path)
