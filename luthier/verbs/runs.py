"""Runs side by side: list them, show one, tell two apart."""

from dataclasses import asdict, dataclass, field

from luthier import settings
from luthier.files import read_json
from luthier.runs import folder
from luthier.runs.folder import Run


@dataclass(frozen=True)
class Listed:
    """All runs, the newest first."""

    runs: list[dict]
    """Each as `summary` gives it."""

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Shown:
    """One run: its summary, its facts, its verdict, and what its recipe sets."""

    run: dict
    facts: dict
    verdict: dict | None
    recipe: dict
    """Dotted key -> value, complete."""

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Differences:
    """Two runs: only what differs."""

    a: str
    b: str
    recipe: list[dict]
    """Each {key, a, b}; a value that one side lacks is None."""
    figures: list[dict]
    """Each {name, a, b}: headline metric, minutes, tokens ..."""
    same_test_rows: bool | None = field(default=None)
    """Whether both were measured on the same test rows; None where a run does not say."""

    def to_dict(self) -> dict:
        return asdict(self)


def ls() -> Listed:
    return Listed([summary(run) for run in folder.everything()])


def show(name: str) -> Shown:
    """Raises RecipeError (R152) where the name fits no run, or several."""
    run = folder.find(name)
    return Shown(summary(run), run.facts(), verdict_of(run), recipe_of(run))


def diff(a: str, b: str) -> Differences:
    """What differs between two runs: recipe keys, figures, and whether their headline numbers may be compared at all."""
    first, second = folder.find(a), folder.find(b)
    recipes = recipe_of(first), recipe_of(second)
    changed = [{"key": key, "a": recipes[0].get(key), "b": recipes[1].get(key)} for key in {**recipes[0], **recipes[1]}]
    figures = figures_of(first), figures_of(second)
    both = [{"name": name, "a": figures[0].get(name), "b": figures[1].get(name)} for name in {**figures[0], **figures[1]}]
    prints = [(run.facts().get("data") or {}).get("fingerprint") for run in (first, second)]
    return Differences(
        first.name, second.name, [row for row in changed if row["a"] != row["b"]], [row for row in both if row["a"] != row["b"]],
        None if None in prints else prints[0] == prints[1],
    )


def summary(run: Run) -> dict:
    """A run in one line: {run, folder, status, phase, created, seconds, model, task, method, metric, value, low, high, winner}."""
    facts, verdict = run.facts(), verdict_of(run) or {}
    tuned = next((row for row in verdict.get("contestants", []) if row["name"] == "tuned"), {})
    return {
        "run": run.name,
        "folder": str(run.path),
        "status": facts.get("status", "unknown"),
        "phase": facts.get("phase"),
        "created": facts.get("created"),
        "seconds": facts.get("seconds"),
        "model": (facts.get("model") or {}).get("name"),
        "task": facts.get("task"),
        "method": facts.get("method"),
        "metric": verdict.get("metric"),
        "value": tuned.get("value"),
        "low": tuned.get("low"),
        "high": tuned.get("high"),
        "winner": verdict.get("winner"),
    }


def verdict_of(run: Run) -> dict | None:
    path = run.path / "verdict.json"
    return read_json(path) if path.is_file() else None


def recipe_of(run: Run) -> dict:
    """The resolved recipe by dotted key; empty where the run ended before it was resolved."""
    path = run.path / "config.resolved.yaml"
    return settings.flatten(settings.parse_yaml(path.read_text(encoding="utf-8"), str(path))) if path.is_file() else {}


def figures_of(run: Run) -> dict:
    verdict = verdict_of(run) or {}
    figures = {f"{verdict['metric']} of {row['name']}": row["value"] for row in verdict.get("contestants", [])}
    cost = run.facts().get("cost") or {}
    return figures | {name: value for name, value in cost.items() if isinstance(value, (int, float))}
