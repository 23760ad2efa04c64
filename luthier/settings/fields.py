"""What a dataclass says of its fields: their keys, types, defaults, choices, and the line of documentation under each."""

import ast
import dataclasses
import functools
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from luthier.settings.words import allowed, either


@dataclass(frozen=True)
class Key:
    """One key that a recipe may hold."""

    path: str
    """Dotted."""
    annotation: Any
    """The field's type; for a choice, the annotation as written."""
    default: Any
    """The default value, or `dataclasses.MISSING` where one must be given."""
    doc: str
    """The line of documentation under the field."""
    choices: tuple[str, ...] = ()
    """The names that a choice takes."""
    of: str = ""
    """For a field of a choice's member: the member's name (`lora` for `method.rank`)."""

    def allowed(self) -> str:
        if not self.choices:
            return allowed(self.annotation)
        return either([*(f"`{name}`" for name in self.choices), *(["`auto`"] if may_be_none(self.annotation) else [])])


def keys(cls: type, prefix: str = "", of: str = "") -> Iterator[Key]:
    """Every key of a dataclass and of the dataclasses inside it, choices included, in the order of the fields."""
    for field, annotation in fields_of(cls):
        default = default_of(field)
        choices = field.metadata.get("choices", {})
        section = section_of(annotation)
        path = f"{prefix}{field.name}"
        if choices:
            yield Key(path, annotation, default, docs(cls).get(field.name, ""), tuple(choices), of)
            for name, member in choices.items():
                yield from keys(member, f"{path}.", name)
        elif section:
            yield from keys(section, f"{path}.", of)
        else:
            yield Key(path, annotation, default, docs(cls).get(field.name, ""), (), of)


@functools.cache
def docs(cls: type) -> dict[str, str]:
    """The line of documentation under each field, from the source of the class and of those it inherits from."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body
        except OSError:  # a class made without a source file has no lines to read
            continue
        for field, below in zip(body, body[1:]):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[field.target.id] = inspect.cleandoc(str(below.value.value))
    return found


@functools.cache
def fields_of(cls: type) -> tuple[tuple[dataclasses.Field, Any], ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple((field, hints[field.name]) for field in dataclasses.fields(cls) if field.init)


def default_of(field: dataclasses.Field) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def parts_of(annotation: Any) -> tuple:
    """The members of a union, else the annotation alone."""
    return typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)


def section_of(annotation: Any) -> type | None:
    """The dataclass that an annotation holds, directly or beside None."""
    return next((part for part in parts_of(annotation) if dataclasses.is_dataclass(part)), None)


def may_be_none(annotation: Any) -> bool:
    return type(None) in parts_of(annotation)


def name_of(instance: Any, choices: Mapping[str, type]) -> str | None:
    return next((name for name, member in choices.items() if type(instance) is member), None)
