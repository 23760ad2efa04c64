"""Values put into a mapping by dotted key: `key=value` words, and one mapping on top of another."""

import typing
from collections.abc import Mapping
from typing import Any

from luthier.errors import RecipeError
from luthier.settings.building import fits
from luthier.settings.fields import keys
from luthier.settings.reading import read_word


def apply(mapping: dict, assignment: str, *, cls: type | None = None) -> dict:
    """Set `a.b=value` in `mapping`, in place, and return it.

    The value is read as YAML would; where `cls` is given and its field takes text but not what YAML read (a column named `7`),
    the text stays text. Raises RecipeError (R108).
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key or not all(key.split(".")):
        raise RecipeError(f"`{assignment}` is not `key=value`", code="R108", hint="for example `training.epochs=2`")
    value = read_word(text)
    types_there = _types_at(cls, key) if cls and not isinstance(value, str) else []
    if not any(fits(annotation, value) for annotation in types_there) and any(fits(annotation, text) for annotation in types_there):
        value = text
    return put(mapping, key, value)


def _types_at(cls: type, key: str) -> list:
    """The types that a dotted key takes; a key inside a free mapping (`data.map.text`) takes that mapping's values."""
    parent = key.rpartition(".")[0]
    found = list(keys(cls))
    inside = [typing.get_args(each.annotation)[1] for each in found if each.path == parent and typing.get_origin(each.annotation) is dict]
    return [each.annotation for each in found if each.path == key and not each.choices] + inside


def put(mapping: dict, key: str, value: Any) -> dict:
    """Set the value of a dotted key in place; a name on the way (`method: lora`) opens into `{name: lora}`."""
    *parents, last = key.split(".")
    inner = mapping
    for parent in parents:
        found = inner.get(parent)
        if not isinstance(found, dict):
            found = {"name": found} if isinstance(found, str) and found != "auto" else {}
        inner[parent] = found
        inner = found
    inner[last] = _merged(inner.get(last), value)
    return mapping


def merge(base: Mapping, over: Mapping) -> dict:
    """`base` with the values of `over` on top; a choice of another name replaces the whole choice, and the name that it has already changes nothing."""
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, Mapping):
        return old if isinstance(old, Mapping) and isinstance(new, str) and old.get("name") == new else new
    if isinstance(old, str) and "name" not in new and old != "auto":
        old = {"name": old}
    if not isinstance(old, Mapping) or new.get("name", old.get("name")) != old.get("name"):
        return dict(new)
    return merge(old, new)


def flatten(mapping: Mapping, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, for every leaf; an empty mapping is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
