"""`import openai`: JSONL, hyper-parameters and job objects of the hosted fine-tuning API, as a recipe of one's own."""
import json
from pathlib import Path

from luthier import settings
from luthier.errors import DataError, RecipeError
from luthier.files import write_file
from luthier.objectives import OBJECTIVES
from luthier.verbs.recipe import Recipe
from luthier.verbs.results import Answered

KINDS = {"supervised": "sft", "dpo": "dpo"}
PLAIN = {"n_epochs": "training.epochs", "batch_size": "training.batch_size", "beta": "objective.beta"}
KNOWN = {"id", "object", "created_at", "error", "finished_at", "fine_tuned_model", "hyperparameters", "model", "organization_id", "result_files", "status", "trained_tokens", "training_file",
         "validation_file", "seed", "estimated_finish", "integrations", "metadata", "method", "suffix", "user_provided_suffix", "usage_metrics", "shared_with_openai", "eval_id"}


def from_openai(train: str | Path, *, validation: str | Path | None = None, job: str | Path | None = None, model: str = "spruce", out: str | Path = "luthier.yaml") -> Answered:
    """Write a recipe for a JSONL file in the hosted API's format, with what a saved job object says. Returns `{file, recipe, taken, left}`.

    RecipeError for a job of a kind that does not exist here, or with fields that no such object has; nothing is silently dropped: `left` says what has no
    counterpart and why.
    """
    for path in filter(None, (train, validation)):
        if not Path(path).is_file():
            raise RecipeError(f"there is no file {path}", code="R109", file=str(path), hint="name the JSONL that was uploaded")
    if Path(out).exists():
        raise RecipeError(f"{out} exists", code="R186", file=str(out), hint="name another with --out")
    preference = is_preference(Path(train))
    taken: dict = {"data.train": str(train), **({"data.validation": str(validation)} if validation else {})}
    left: dict = {}
    kind = "dpo" if preference else "supervised"
    if job is not None:
        kind = take_job(read_job(Path(job)), kind, taken, left)
    if KINDS[kind] not in OBJECTIVES:
        raise RecipeError(f"jobs of the kind {kind} need the objective {KINDS[kind]}, which does not exist here", code="R186", hint=f"objectives are: {', '.join(OBJECTIVES)}")
    mapping: dict = {"model": model, "method": "lora", "objective": KINDS[kind], **({"task": "chat"} if kind == "supervised" else {})}
    for key, value in taken.items():
        if key == "objective.beta":
            mapping["objective"] = {"name": KINDS[kind], "beta": value}
        else:
            settings.put(mapping, key, value)
    write_file(Path(out), settings.to_yaml(settings.build(Recipe, mapping)))
    return Answered({"file": str(out), "recipe": mapping, "taken": taken, "left": left})


def is_preference(path: Path) -> bool:
    """Whether the first row is a preference pair; DataError where it is neither that nor a conversation."""
    with open(path, encoding="utf-8") as stream:
        line = stream.readline()
    try:
        row = json.loads(line)
    except ValueError:
        raise DataError("the first line is no JSON object", code="D100", file=str(path), line=1, hint="the hosted API takes JSONL: one object a line") from None
    if isinstance(row, dict) and "preferred_output" in row:
        return True
    if not isinstance(row, dict) or "messages" not in row:
        raise DataError("the first row has neither messages nor preferred_output", code="D112", file=str(path), line=1, hint='rows are {"messages": [...]} or {"input": ..., "preferred_output": ...}')
    return False


def read_job(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("object") != "fine_tuning.job":
        raise RecipeError(f"{path} holds no job object", code="R186", file=str(path), hint='save what the API answered: {"object": "fine_tuning.job", ...}')
    if unknown := sorted(set(found) - KNOWN):
        raise RecipeError(f"{path} has the field {unknown[0]}, which no job object has", code="R186", file=str(path), field=unknown[0], hint="remove it")
    return found


def take_job(job: dict, kind: str, taken: dict, left: dict) -> str:
    """What a job object says, in the words of a recipe; returns its kind."""
    method = job.get("method") or {"type": kind}
    if method.get("type") not in KINDS:
        raise RecipeError(f"jobs of the kind {method.get('type')!r} do not exist here; there are: {', '.join(KINDS)}", code="R186", field="method.type", hint="tune with one of these")
    given = (method.get(method["type"]) or {}).get("hyperparameters") or job.get("hyperparameters") or {}
    for name, value in given.items():
        if value == "auto" or value is None:
            continue
        if name in PLAIN:
            taken[PLAIN[name]] = value
        else:
            left[name] = "it multiplies a rate that the hosted service keeps to itself; training.learning_rate sets ours" if name == "learning_rate_multiplier" else "it has no counterpart"
    if isinstance(job.get("seed"), int):
        taken["seed"] = job["seed"]
    left["model"] = f"{job.get('model')} cannot be had; the recipe names a base of your own"
    for name in ("suffix", "user_provided_suffix", "metadata", "integrations"):
        if job.get(name):
            left[name] = "runs have a --name instead" if "suffix" in name else "it has no counterpart"
    return method["type"]
