"""The recipe of a run: composed of every part's own settings, found in files, the environment and the command line.

What wins, first to last: the command line or the call, LUTHIER_* variables, the file, `[tool.luthier]` of ./pyproject.toml,
~/.config/luthier/config.yaml, the defaults.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier import settings
from luthier.data.settings import DataSettings
from luthier.errors import DiskError, RecipeError
from luthier.evaluation.settings import EvaluationSettings
from luthier.methods import METHODS
from luthier.objectives import OBJECTIVES
from luthier.retrieval.settings import RetrievalSettings
from luthier.runs.trackers.settings import TrackingSettings
from luthier.settings import Origin, Origins
from luthier.tasks import TASKS
from luthier.training.settings import TrainingSettings

DEFAULT_FILE = "luthier.yaml"
RECIPE_ENDINGS = (".yaml", ".yml")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w-]*/[\w-]+(\.\w+)*(:[\w.-]+)?(@[\w./-]+)?")
HEADER = "# yaml-language-server: $schema=luthier.schema.json"

Guess = Callable[[str], Mapping]
"""Makes the mapping of a recipe from the name of a data file, as `init` does."""


@dataclass
class Recipe:
    """A whole run's settings. No function below `verbs/` ever sees it; each gets the part it owns."""

    model: str = "spruce"
    """The base: a path, a shipped name (`spruce`), or a hub id such as `Qwen/Qwen3-0.6B`."""
    task: Any | None = field(default=None, metadata={"choices": TASKS})
    """What is learned; `auto` is guessed from the columns of the data."""
    method: Any = field(default_factory=METHODS["lora"], metadata={"choices": METHODS})
    """How the weights change."""
    objective: Any = field(default_factory=OBJECTIVES["sft"], metadata={"choices": OBJECTIVES})
    """What is minimised."""
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    seed: int = 17
    """Where all chance comes from: order, dropout, initial adapters, sampling."""

    @property
    def lesson(self) -> Any:
        """The task as the objective teaches it: which records are read and how answers are judged; RecipeError where the two do not go together."""
        return self.objective.lesson(self.task)


def load(
    target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, guess: Guess | None = None
) -> tuple[Recipe, Origins]:
    """The recipe of a target, checked, and who set each value. Raises RecipeError (R1xx), DiskError."""
    mapping, origins = find(target, overrides, guess=guess)
    return settings.build(Recipe, mapping, origins=origins), origins


def find(target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, guess: Guess | None = None) -> tuple[dict, Origins]:
    """The merged mapping of all layers and who set each value; nothing is checked against the Recipe yet but the variables.

    `target` is a recipe file, a run's folder (its resolved recipe), or data (then `guess` makes the recipe); None is ./luthier.yaml.
    `overrides` are `key=value` words, or a mapping whose keys may be dotted.
    """
    layers = [*_standing_files(), _target(target, guess), _environment(os.environ), _overrides(overrides)]
    mapping: dict = {}
    origins: Origins = {}
    for values, who in layers:
        for key, value in values.items():
            settings.put(mapping, key, value)
        origins |= who
    present = set(settings.flatten(mapping))
    present |= {key.rpartition(".")[0] for key in present} | set(mapping)
    return mapping, {key: origin for key, origin in origins.items() if key in present}


Layer = tuple[Mapping, Origins]


def _standing_files() -> list[Layer]:
    """What holds for this user and this folder, whatever the recipe."""
    layers: list[Layer] = []
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "luthier" / "config.yaml"
    if own.is_file():
        layers.append(_file(own))
    project = Path("pyproject.toml")
    if project.is_file():
        try:
            table = tomllib.loads(_text(project)).get("tool", {}).get("luthier", {})
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"not TOML: {error}", code="R107", file=str(project)) from None
        layers.append((table, {key: Origin("file", str(project)) for key in settings.flatten(table)}))
    return layers


def _target(target: str | Path | None, guess: Guess | None) -> Layer:
    if target is None:
        if not Path(DEFAULT_FILE).is_file():
            raise RecipeError(f"there is no {DEFAULT_FILE} here", code="R109", hint="make one from your data: `luthier init FILE`")
        return _file(Path(DEFAULT_FILE))
    path = Path(target)
    if os.path.isfile(path / "config.resolved.yaml"):
        return _file(path / "config.resolved.yaml")
    if path.suffix in RECIPE_ENDINGS and not os.path.isdir(path):
        if not os.path.exists(path):
            raise missing(path)
        return _file(path)
    if str(target) != "-" and not os.path.exists(path) and not _is_hub_name(str(target)):
        raise missing(path)
    if guess is None:
        raise RecipeError(f"`{target}` is data, not a recipe", code="R109", hint=f"make a recipe from it: `luthier init {target}`")
    values = guess(str(target))
    return values, {key: Origin("auto", f"guessed from {target}") for key in settings.flatten(values)}


def _is_hub_name(name: str) -> bool:
    """`owner/name`, and no file that merely is not there: those have an ending or a folder that exists."""
    return bool(HUB_NAME.fullmatch(name)) and not Path(name).suffix and not os.path.isdir(Path(name).parent)


def asked_objective(overrides: Iterable[str] | Mapping):
    """The objective that the command line or the call names, with its defaults; None where it names none, or one that is not known."""
    values, _ = _overrides(overrides)
    named = values.get("objective")
    name = named.get("name") if isinstance(named, Mapping) else named
    return OBJECTIVES[name]() if isinstance(name, str) and name in OBJECTIVES else None


def missing(path: Path) -> RecipeError:
    """The error for a file that is not there, with the file of nearest name."""
    try:
        near = difflib.get_close_matches(path.name, sorted(os.listdir(path.parent)), n=1)
    except OSError:
        near = []
    hint = f"did you mean `{path.parent / near[0]}`?" if near else "check the path; it is read from the folder you are in"
    return RecipeError(f"there is no file `{path}`", code="R109", hint=hint, file=str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError("not UTF-8 text", code="R107", file=str(path), byte_offset=error.start, hint="save the file as UTF-8") from None
    except OSError as error:
        raise DiskError(f"cannot be read: {error.strerror}", code="F101", file=str(path)) from error


def _file(path: Path) -> Layer:
    document = settings.parse_yaml(_text(path), str(path))
    return document, document.origins()


def variable(key: str) -> str:
    """The environment variable of a dotted key: `training.epochs` -> LUTHIER_TRAINING_EPOCHS."""
    return "LUTHIER_" + key.upper().replace(".", "_")


def _environment(environment: Mapping[str, str]) -> Layer:
    """The recipe's values in LUTHIER_* variables; a variable of a section that fits no key is an error, not a silent nothing."""
    paths = {variable(key.path): key.path for key in settings.keys(Recipe)}
    sections = tuple(variable(name) + "_" for name in {path.partition(".")[0] for path in paths.values()})
    values: dict = {}
    origins: Origins = {}
    for name, text in sorted(environment.items()):
        if name in paths:
            settings.apply(values, f"{paths[name]}={text}", cls=Recipe)
            origins[paths[name]] = Origin("environment", name)
        elif name.startswith(sections):
            near = settings.nearest(name.lower(), [known.lower() for known in paths]).upper()
            raise RecipeError(f"no recipe key has the variable {name}", code="R140", hint=f"did you mean {near}?" if near else "unset it")
    return values, origins


def _overrides(overrides: Iterable[str] | Mapping) -> Layer:
    values: dict = {}
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            settings.put(values, key, value)
        return values, {key: Origin("call") for key in settings.flatten(values)}
    origins: Origins = {}
    for assignment in overrides:
        settings.apply(values, assignment, cls=Recipe)
        origins[assignment.partition("=")[0]] = Origin("command")
    return values, origins
