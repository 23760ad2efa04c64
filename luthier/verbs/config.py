"""The recipe itself: every key with its value and who set it, and its JSON Schema."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from luthier import settings
from luthier.settings import Origin
from luthier.verbs import recipe


@dataclass(frozen=True)
class Shown:
    """A recipe, complete."""

    recipe: dict
    """Nested, with all defaults."""
    values: list[dict]
    """Each {key, value, origin}."""

    def to_dict(self) -> dict:
        return asdict(self)


def schema() -> dict:
    """JSON Schema of a recipe file."""
    return settings.json_schema(recipe.Recipe, title="Luthier recipe")


def show(target: str | None = None, overrides: Iterable[str] | Mapping = (), *, guess: recipe.Guess | None = None) -> Shown:
    """The recipe of a target with every default written out. Raises RecipeError."""
    made, origins = recipe.load(target, overrides, guess=guess)
    mapping = settings.to_mapping(made)
    values = [{"key": key, "value": value, "origin": str(_origin(key, origins))} for key, value in settings.flatten(mapping).items()]
    return Shown(mapping, values)


def _origin(key: str, origins: settings.Origins) -> Origin:
    """Who set a key; the name of a choice (`method.name`) was set where the choice was (`method`)."""
    return origins.get(key) or (origins.get(key.removesuffix(".name")) if key.endswith(".name") else None) or Origin("default")


def explain_key(name: str) -> list[dict]:
    """Every recipe key that a dotted name, a last word or a section means: {key, doc, allowed, default, of, variable}."""
    found = list(settings.keys(recipe.Recipe))
    exact = [key for key in found if key.path == name]
    below = [key for key in found if key.path.startswith(f"{name}.")]
    last = [key for key in found if key.path.rpartition(".")[2] == name]
    return [_page(key) for key in (exact + below if exact or below else last)]


def key_names() -> list[str]:
    return sorted({key.path for key in settings.keys(recipe.Recipe)})


def _page(key: settings.Key) -> dict:
    default = key.default
    if key.choices and default is not None:
        default = next(name for name, member in (*recipe.METHODS.items(), *recipe.OBJECTIVES.items(), *recipe.TASKS.items()) if type(default) is member)
    elif key.choices:
        default = "auto"
    return {"key": key.path, "doc": key.doc, "allowed": key.allowed(), "default": default, "of": key.of, "variable": recipe.variable(key.path)}
