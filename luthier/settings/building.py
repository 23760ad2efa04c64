"""A nested mapping becomes an instance of a dataclass, strictly; what does not fit is an error with its place.

A *choice* is a field whose metadata holds `choices={name: dataclass}`: it takes a name or a mapping with `name:` and the fields of
that dataclass. A choice that may be None also takes `auto`.
"""

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from luthier.errors import RecipeError
from luthier.settings.fields import default_of, docs, fields_of, keys, may_be_none, name_of, parts_of, section_of
from luthier.settings.origins import Origins
from luthier.settings.reading import NUMBER
from luthier.settings.words import allowed, got, nearest


@dataclass(frozen=True)
class _Place:
    """What a message needs to name the place of a value."""

    root: type
    source: str
    origins: Origins

    def error(self, code: str, message: str, path: str, hint: str = "") -> RecipeError:
        origin = self.origins.get(path)
        if origin and origin.kind == "environment":
            message += f" (set by {origin.name})"
        inside = origin and origin.kind == "file"
        file = origin.name if inside else (None if origin else self.source or None)
        return RecipeError(message, code=code, hint=hint, field=path or None, file=file, line=origin.line if inside else None)


def build(cls: type, mapping: Any, *, source: str = "", origins: Origins | None = None):
    """An instance of the dataclass `cls` from a nested mapping, strictly.

    `source` names the file in messages; `origins` give the line of each key. Raises RecipeError: R101 unknown key, R102 missing,
    R103 not a mapping, R104 wrong type or value, R105 unknown choice.
    """
    return _build(cls, mapping, "", _Place(cls, source, origins or {}))


def _build(cls: type, mapping: Any, path: str, place: _Place):
    if isinstance(mapping, cls):
        return mapping
    fields = dict((field.name, (field, annotation)) for field, annotation in fields_of(cls))
    if not isinstance(mapping, Mapping):
        names = ", ".join(fields)
        raise place.error("R103", f"`{path}` is a section, and got {got(mapping)}", path, f"write its keys below it, indented: {names}")
    prefix = f"{path}." if path else ""
    for key in mapping:
        if key not in fields:
            raise _unknown_key(str(key), prefix, list(fields), place)
    values = {}
    for name, (field, annotation) in fields.items():
        if name in mapping:
            values[name] = _field_value(field, annotation, mapping[name], prefix + name, place)
        elif default_of(field) is dataclasses.MISSING:
            raise place.error("R102", f"`{prefix}{name}` is missing", path, docs(cls).get(name, ""))
    try:
        return cls(**values)
    except ValueError as error:
        raise place.error("R104", f"`{path}`: {error}" if path else str(error), path) from error


def _unknown_key(key: str, prefix: str, siblings: list[str], place: _Place) -> RecipeError:
    near = nearest(key, siblings)
    if near:
        hint = f"did you mean `{prefix}{near}`?"
    else:
        known = list(keys(place.root))
        owners = [found.of for found in known if found.path == prefix + key]
        everywhere = {found.path.rpartition(".")[2]: found.path for found in known if not owners}
        far = nearest(key, everywhere)
        hint = f"did you mean `{everywhere[far]}`?" if far else f"allowed here: {', '.join(siblings) or 'nothing'}"
        hint = f"`{key}` is a setting of: {', '.join(owners)}" if owners else hint
    return place.error("R101", f"unknown key `{prefix}{key}`", f"{prefix}{key}", hint)


def _field_value(field: dataclasses.Field, annotation: Any, value: Any, path: str, place: _Place) -> Any:
    if "choices" in field.metadata:
        return _choice(field, annotation, value, path, place)
    section = section_of(annotation)
    if section and not (value is None and may_be_none(annotation)):
        return _build(section, {} if value is None else value, path, place)
    if section:
        return None
    return _leaf(annotation, value, path, place)


def _choice(field: dataclasses.Field, annotation: Any, value: Any, path: str, place: _Place) -> Any:
    choices = field.metadata["choices"]
    default = default_of(field)
    if isinstance(value, tuple(choices.values())) or (value in (None, "auto") and may_be_none(annotation)):
        return None if value == "auto" else value
    rest = {}
    if isinstance(value, Mapping):
        rest = {key: inner for key, inner in value.items() if key != "name"}
        value = value.get("name", name_of(default, choices))
        if value in (None, "auto") and may_be_none(annotation) and not rest:
            return None
        if value in (None, "auto"):
            raise place.error("R102", f"`{path}.name` is missing", path, f"allowed: {', '.join(choices)}")
    if not isinstance(value, str) or value not in choices:
        near = nearest(str(value), choices)
        hint = f"did you mean `{near}`?" if near else f"allowed: {', '.join(choices)}"
        raise place.error("R105", f"`{path}` got {got(value)}, which is none of: {', '.join(choices)}", path, hint)
    return _build(choices[value], rest, path, place)


def _leaf(annotation: Any, value: Any, path: str, place: _Place) -> Any:
    """A checked value; text that spells a number (`"1e-4"`) is that number where text is not allowed."""
    readings = [value]
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()) and math.isfinite(float(value)):
        readings.append(float(value))
    for reading in readings:
        if fits(annotation, reading):
            return adapter(annotation).validate_json(json.dumps(reading, default=str), strict=True)
    words = [str(literal) for part in parts_of(annotation) if typing.get_origin(part) is Literal for literal in typing.get_args(part)]
    near = nearest(value, words) if isinstance(value, str) else ""
    raise place.error("R104", f"`{path}` got {got(value)}; it takes {allowed(annotation)}", path, f"did you mean `{near}`?" if near else "")


@functools.cache
def adapter(annotation: Any):
    from pydantic import TypeAdapter  # 0.1 s, which `--help` need not pay

    return TypeAdapter(annotation)


def fits(annotation: Any, value: Any) -> bool:
    try:
        adapter(annotation).validate_json(json.dumps(value, default=str, allow_nan=False), strict=True)
    except ValueError:
        return False
    return True
