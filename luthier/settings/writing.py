"""Settings out: a complete mapping, YAML that reads back equal, with comments."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from luthier.settings.fields import fields_of, name_of
from luthier.settings.reading import PLAIN


def to_mapping(instance: Any) -> dict:
    """The complete nested mapping of an instance, in plain YAML values: `build(type(x), to_mapping(x)) == x`."""
    result = {}
    for field, _ in fields_of(type(instance)):
        value = vars(instance)[field.name]
        choices = field.metadata.get("choices")
        if choices and value is None:
            result[field.name] = "auto"
        elif choices:
            inner = to_mapping(value)
            name = name_of(value, choices)
            result[field.name] = {"name": name, **inner} if inner else name
        elif dataclasses.is_dataclass(value):
            result[field.name] = to_mapping(value)
        else:
            result[field.name] = plain(value)
    return result


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


class _Writer(yaml.SafeDumper):
    """PyYAML's writer that also quotes the text which only YAML 1.2 would read as a number."""


_Writer.yaml_implicit_resolvers = {first: list(rules) for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()}
for _tag, (_pattern, _first, _) in PLAIN.items():
    _Writer.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern.pattern})$"), _first)


def to_yaml(settings: Any, *, comments: Mapping[str, str] | None = None) -> str:
    """A dataclass instance or a mapping as YAML that reads back equal; `comments` (dotted key -> text) stand behind their line."""
    mapping = to_mapping(settings) if dataclasses.is_dataclass(settings) else settings
    return "".join(_lines(plain(mapping), "", "", comments or {})) or "{}\n"


def _lines(mapping: Mapping, indent: str, prefix: str, comments: Mapping[str, str]) -> Iterator[str]:
    for key, value in mapping.items():
        path = f"{prefix}{key}"
        words = "".join(character if character.isprintable() else " " for character in comments.get(path, "")).split()
        comment = f"  # {' '.join(words)}" if words else ""
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_word(key)}:{comment}\n"
            yield from _lines(value, indent + "  ", f"{path}.", comments)
        else:
            yield f"{indent}{_word(key)}: {_word(value)}{comment}\n"


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _word(value: Any) -> str:
    """A value on one line; what is not printable is escaped."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_word_in_flow(key)}: {_word_in_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_word_in_flow, value)) + "]"
    if isinstance(value, str) and not value.isprintable():
        return '"' + "".join(_escaped(character) for character in value) + '"'
    text = yaml.dump(value, Dumper=_Writer, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _word_in_flow(value: Any) -> str:
    """As `_word`, but where a comma or a bracket would end a plain word."""
    if not isinstance(value, str) or not value.isprintable():
        return _word(value)
    return yaml.dump([value], Dumper=_Writer, default_flow_style=True, width=math.inf, allow_unicode=True).strip()[1:-1]
