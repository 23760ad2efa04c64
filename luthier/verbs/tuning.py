"""The server's fine-tuning jobs as runs: a job becomes a recipe, its process runs `luthier train`, and its model answers when it is done."""
import sys
from pathlib import Path

from luthier import settings
from luthier.data import sources
from luthier.data.findings import Finding
from luthier.errors import LuthierError
from luthier.files import write_file
from luthier.methods import METHODS
from luthier.models.load import facts
from luthier.objectives import OBJECTIVES
from luthier.runs.events import Event, Say, silent
from luthier.runs.folder import Run
from luthier.serving.jobs.store import Job, Store
from luthier.serving.jobs.supervisor import Supervisor
from luthier.serving.routes.tuning import Tuning
from luthier.serving.service import Service
from luthier.verbs.recipe import Recipe
from luthier.verbs.serving import Shelf

KINDS = {"supervised": "sft", "dpo": "dpo"}
"""Methods of the hosted API, and the objective that each needs."""
MOST_ROWS_CHECKED = 200


def make_tuning(service: Service, shelf: Shelf, folder: Path, runs: Path, *, say: Say = silent) -> Tuning:
    """The store, its supervisor, and how jobs become runs. Not yet started."""
    store = Store(folder)
    known = tuple(kind for kind, objective in KINDS.items() if objective in OBJECTIVES)

    def base(name: str) -> str | None:
        model = service.registry.find(name)
        return None if model is None or model.parent is not None or model.facts.get("run") else model.facts["source"]

    def done(job: Job, path: Path) -> None:
        answer_with(service, shelf, job, path, say)

    supervisor = Supervisor(store, runs, lambda job, path, going_on: command(job, store, base, going_on), lambda job: wrong_with(job, store), max_jobs=service.settings.max_jobs, done=done)
    return Tuning(store, supervisor, known, base, lambda job: checkpoints(Run(runs / job.run)))


def answer_again(service: Service, shelf: Shelf, tuning: Tuning, runs: Path, say: Say) -> None:
    """After a restart, the models of finished jobs answer as before."""
    for job in reversed(tuning.store.jobs(status="succeeded")):
        if not job.removed:
            answer_with(service, shelf, job, runs / job.run, say)


def answer_with(service: Service, shelf: Shelf, job: Job, path: Path, say: Say) -> None:
    """Make a finished job's model answer; a run that is gone or damaged is told and left."""

    def put() -> None:
        tuned = [model for model in shelf.run(str(path)) if model.facts.get("run")][-1]
        tuned.id, tuned.facts = job.fine_tuned_model, {**tuned.facts, "owner": job.owner}
        service.engine.put(tuned, job.id)

    try:
        service.engine.call(put).result(timeout=300)
    except (LuthierError, OSError) as error:
        say(Event("warning", f"{job.fine_tuned_model} does not answer: {error}", {"code": "E124"}))


# ---- a job as a run -----------------------------------------------------------------------------
def command(job: Job, store: Store, base, going_on: bool) -> list[str]:
    """The worker: the program itself, by an argument list. What clients sent stands in a recipe file and is never part of a command."""
    program = [sys.executable, "-m", "luthier", "train"]
    if going_on:
        return [*program, "--resume", job.run]
    recipe = store.folder / f"{job.id}.yaml"
    write_file(recipe, settings.to_yaml(settings.build(Recipe, recipe_of(job, store, base(job.model)))))
    return [*program, str(recipe), "--name", job.run]


def recipe_of(job: Job, store: Store, model: str) -> dict:
    """A job in the words of a recipe; what is `auto` there is `auto` here."""
    given = job.hyperparameters
    training: dict = {}
    if given["n_epochs"] != "auto":
        training["epochs"] = given["n_epochs"]
    if given["batch_size"] != "auto":
        training["batch_size"] = given["batch_size"]
    if given["learning_rate_multiplier"] != "auto":
        training["learning_rate"] = METHODS["lora"]().default_learning_rate(facts(model).parameters)[0] * given["learning_rate_multiplier"]
    data = {"train": str(store.path(job.training_file)), "test": 0.0 if job.validation_file else 0.1}
    if job.validation_file:
        data |= {"validation": str(store.path(job.validation_file))}
    objective: dict | str = KINDS[job.method["type"]]
    if given.get("beta", "auto") != "auto":
        objective = {"name": objective, "beta": given["beta"]}
    return {"model": model, **({"task": "chat"} if objective == "sft" else {}), "method": "lora", "objective": objective, "data": data, "training": training, "seed": job.seed}


def wrong_with(job: Job, store: Store) -> str | None:
    """The first thing that is wrong with a job's files, with its line; None where nothing is."""
    for file_id in filter(None, (job.training_file, job.validation_file)):
        path, rows = store.path(file_id), 0
        if not path.exists():
            return f"the file {file_id} is gone"
        try:
            for item in sources.read(str(path)):
                if isinstance(item, Finding):
                    return f"{file_id}: line {item.line}: {item.message}"
                rows += 1
                if rows >= MOST_ROWS_CHECKED:
                    break
        except LuthierError as error:
            return f"{file_id}: {error.message.replace(str(path), file_id)}"
        if not rows:
            return f"{file_id} holds no row"
    return None


def checkpoints(run: Run) -> list[dict]:
    """The checkpoints that stand in a run's folder, the newest first."""
    rows = run.rows("metrics.jsonl")
    train = {row["step"]: row["loss"] for row in rows if row["kind"] == "train"}
    looks = {row["step"]: row["loss"] for row in rows if row["kind"] == "validation"}
    found = sorted((int(path.name.removeprefix("checkpoint-")), path) for path in run.path.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit())
    return [
        {"step": step, "created": int(path.stat().st_mtime), "train_loss": number(train.get(step)), "full_valid_loss": number(looks.get(step))} for step, path in reversed(found)
    ]


def number(value) -> float | None:
    return value if isinstance(value, float) else None
