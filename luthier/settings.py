"""The mechanism of settings: dataclasses <-> YAML <-> `key=value`, strict, with the place and the origin of every value.

Settings themselves live beside the code that reads them; this file knows none of them. Importing it costs little: pydantic
is loaded when the first value is checked.

A *choice* is a field whose metadata holds `choices={name: dataclass}`: it takes a name or a mapping with `name:` and the
fields of that dataclass. A choice that may be None also takes `auto`, and None is written as `auto`.
"""

import ast
import dataclasses
import difflib
import functools
import inspect
import json
import math
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import annotated_types
import yaml

from luthier.errors import RecipeError

LARGEST_FILE = 1 << 20
"""Bytes; a recipe is a page, so anything larger is a mistake or an attack."""

# ---- where a value comes from --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """Who set a value."""

    kind: Literal["default", "file", "environment", "command", "call", "auto"]
    """`call` is a keyword of the Python function; `auto` a number that the program worked out."""
    name: str = ""
    """The file, the variable, or the reason of an `auto`."""
    line: int | None = None
    """1-based line of the file."""

    def __str__(self) -> str:
        if self.kind == "file":
            return f"{self.name}:{self.line}" if self.line else self.name
        words = {"command": "command line", "call": "keyword of the call", "auto": f"auto: {self.name}"}
        return words.get(self.kind) or self.name or self.kind


Origins = dict[str, Origin]
"""By dotted key; a key that is absent has its default."""


class Document(dict):
    """A parsed file: its mapping, and the 1-based line of every dotted key."""

    def __init__(self, *args, file: str = "", lines: dict[str, int] | None = None):
        super().__init__(*args)
        self.file = file
        self.lines = lines or {}

    def origins(self) -> Origins:
        return {key: Origin("file", self.file, line) for key, line in self.lines.items()}


# ---- YAML in -------------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
PLAIN = {  # YAML 1.2's core reading of unquoted words: `no` and `2024-01-01` stay text, `1e-4` is a number
    "tag:yaml.org,2002:null": (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""], lambda _: None),
    "tag:yaml.org,2002:bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"), lambda text: text.lower() == "true"),
    "tag:yaml.org,2002:int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), list("-+0123456789"), lambda text: _whole(text)),
    "tag:yaml.org,2002:float": (NUMBER, list("-+.0123456789"), float),
}


def _whole(text: str) -> int:
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


class _Reader(yaml.SafeLoader):
    """PyYAML's parser with YAML 1.2's reading of unquoted words."""

    yaml_implicit_resolvers: dict = {}


for _tag, (_pattern, _first, _) in PLAIN.items():
    _Reader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern.pattern})$"), _first)


def parse_yaml(text: str, file: str = "recipe") -> Document:
    """Read a recipe file; keys must be unique words, anchors are refused. Raises RecipeError (R106, R107) with line and column."""
    if len(text) > LARGEST_FILE:
        raise RecipeError(f"{file} has {len(text):,} characters; a recipe has at most {LARGEST_FILE:,}", code="R107", file=file)
    try:
        node = yaml.compose(text, Loader=_Reader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RecipeError(
            f"not YAML: {error.problem or error.context}",
            code="R107", file=file, line=mark.line + 1 if mark else None, column=mark.column + 1 if mark else None,
            hint="write `key: value`, one per line; indent with two spaces; quote text that holds `: ` or ` #`",
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RecipeError(f"not YAML: {reason}", code="R107", file=file) from None
    if node is None:
        return Document(file=file)
    if not isinstance(node, yaml.MappingNode):
        hint = "write `model: spruce`, one key per line"
        raise RecipeError("a recipe is a mapping of keys to values", code="R103", file=file, line=1, hint=hint)
    document = Document(file=file)
    document.update(_value(node, document, "", set()))
    return document


def _value(node: yaml.Node, document: Document, path: str, seen: set[int]) -> Any:
    """The plain value of a node; notes the line of every key on the way."""
    place = {"file": document.file, "line": node.start_mark.line + 1, "column": node.start_mark.column + 1}
    if id(node) in seen:
        raise RecipeError("anchors and aliases (`&x`, `*x`) are not read", code="R107", hint="write the value out", **place)
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, place)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, document, f"{path}[{number}]", seen) for number, item in enumerate(node.value)]
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise RecipeError("a key must be a word", code="R107", file=document.file, line=line)
        key = key_node.value
        dotted = f"{path}.{key}" if path else key
        if key in result:
            raise RecipeError(
                f"`{dotted}` stands twice, on lines {document.lines[dotted]} and {line}",
                code="R106", file=document.file, line=line, column=key_node.start_mark.column + 1, field=dotted, hint="keep one of the two",
            )
        document.lines[dotted] = line
        result[key] = _value(value_node, document, dotted, seen)
    return result


def _scalar(node: yaml.ScalarNode, place: dict) -> Any:
    if node.tag == "tag:yaml.org,2002:str":
        return node.value
    if node.tag not in PLAIN:
        raise RecipeError(f"the tag `{node.tag}` is not read", code="R107", hint="write plain values only", **place)
    try:
        return PLAIN[node.tag][2](node.value)
    except ValueError:
        raise RecipeError(f"`{node.value[:40]}` is not a number", code="R107", **place) from None


def read_word(text: str) -> Any:
    """The value that YAML would read in `key: text`; text that is not YAML stays text."""
    try:
        return parse_yaml(f"value: {text}").get("value") if text.strip() else ""
    except RecipeError:
        return text


# ---- key=value -----------------------------------------------------------------------------------------------------


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
    if not any(_fits(annotation, value) for annotation in types_there) and any(_fits(annotation, text) for annotation in types_there):
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
    """`base` with the values of `over` on top; a choice of another name replaces the whole choice."""
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, Mapping):
        return new
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


# ---- what a dataclass says of its fields -----------------------------------------------------------------------------


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
        return _either([*(f"`{name}`" for name in self.choices), *(["`auto`"] if _may_be_none(self.annotation) else [])])


def keys(cls: type, prefix: str = "", of: str = "") -> Iterator[Key]:
    """Every key of a dataclass and of the dataclasses inside it, choices included, in the order of the fields."""
    for field, annotation in _fields(cls):
        default = _default(field)
        choices = field.metadata.get("choices", {})
        section = _section(annotation)
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
def _fields(cls: type) -> tuple[tuple[dataclasses.Field, Any], ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple((field, hints[field.name]) for field in dataclasses.fields(cls) if field.init)


def _default(field: dataclasses.Field) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def _parts(annotation: Any) -> tuple:
    """The members of a union, else the annotation alone."""
    return typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)


def _section(annotation: Any) -> type | None:
    """The dataclass that an annotation holds, directly or beside None."""
    return next((part for part in _parts(annotation) if dataclasses.is_dataclass(part)), None)


def _may_be_none(annotation: Any) -> bool:
    return type(None) in _parts(annotation)


# ---- mapping -> dataclass --------------------------------------------------------------------------------------------


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
    fields = dict((field.name, (field, annotation)) for field, annotation in _fields(cls))
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
        elif _default(field) is dataclasses.MISSING:
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
        everywhere = {found.path.rpartition(".")[2]: found.path for found in keys(place.root)}
        far = nearest(key, everywhere)
        hint = f"did you mean `{everywhere[far]}`?" if far else f"allowed here: {', '.join(siblings) or 'nothing'}"
    return place.error("R101", f"unknown key `{prefix}{key}`", f"{prefix}{key}", hint)


def nearest(word: str, names) -> str:
    """The name that was probably meant: close in spelling, or having the word as its initials (`lr`, `wd`); else empty."""
    names = list(names)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    initials = [name for name in names if len(word) > 1 and "".join(part[:1] for part in re.split(r"[_.]", name)) == word.lower()]
    return (close or initials or [""])[0]


def _field_value(field: dataclasses.Field, annotation: Any, value: Any, path: str, place: _Place) -> Any:
    if "choices" in field.metadata:
        return _choice(field, annotation, value, path, place)
    section = _section(annotation)
    if section and not (value is None and _may_be_none(annotation)):
        return _build(section, {} if value is None else value, path, place)
    if section:
        return None
    return _leaf(annotation, value, path, place)


def _choice(field: dataclasses.Field, annotation: Any, value: Any, path: str, place: _Place) -> Any:
    choices = field.metadata["choices"]
    default = _default(field)
    if isinstance(value, tuple(choices.values())) or (value in (None, "auto") and _may_be_none(annotation)):
        return None if value == "auto" else value
    rest = {}
    if isinstance(value, Mapping):
        rest = {key: inner for key, inner in value.items() if key != "name"}
        value = value.get("name", _name_of(default, choices))
        if value in (None, "auto") and _may_be_none(annotation) and not rest:
            return None
        if value in (None, "auto"):
            raise place.error("R102", f"`{path}.name` is missing", path, f"allowed: {', '.join(choices)}")
    if not isinstance(value, str) or value not in choices:
        near = nearest(str(value), choices)
        hint = f"did you mean `{near}`?" if near else f"allowed: {', '.join(choices)}"
        raise place.error("R105", f"`{path}` got {got(value)}, which is none of: {', '.join(choices)}", path, hint)
    return _build(choices[value], rest, path, place)


def _name_of(instance: Any, choices: Mapping[str, type]) -> str | None:
    return next((name for name, member in choices.items() if type(instance) is member), None)


@functools.cache
def _adapter(annotation: Any):
    from pydantic import TypeAdapter  # 0.1 s, which `--help` need not pay

    return TypeAdapter(annotation)


def _fits(annotation: Any, value: Any) -> bool:
    try:
        _adapter(annotation).validate_json(json.dumps(value, default=str, allow_nan=False), strict=True)
    except ValueError:
        return False
    return True


def _leaf(annotation: Any, value: Any, path: str, place: _Place) -> Any:
    """A checked value; text that spells a number (`"1e-4"`) is that number where text is not allowed."""
    readings = [value]
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()) and math.isfinite(float(value)):
        readings.append(float(value))
    for reading in readings:
        if _fits(annotation, reading):
            return _adapter(annotation).validate_json(json.dumps(reading, default=str), strict=True)
    words = [str(literal) for part in _parts(annotation) if typing.get_origin(part) is Literal for literal in typing.get_args(part)]
    near = nearest(value, words) if isinstance(value, str) else ""
    raise place.error("R104", f"`{path}` got {got(value)}; it takes {allowed(annotation)}", path, f"did you mean `{near}`?" if near else "")


# ---- values and types in words ---------------------------------------------------------------------------------------

TYPE_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "`true` or `false`", type(None): "`null`", Any: "anything"}
LIMIT_WORDS = {annotated_types.Gt: "above {.gt}", annotated_types.Ge: "at least {.ge}", annotated_types.Lt: "below {.lt}",
               annotated_types.Le: "at most {.le}", annotated_types.MinLen: "with at least {.min_length} characters or entries"}


def allowed(annotation: Any) -> str:
    """A type in words: `a whole number above 0 or `auto``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        limits = [LIMIT_WORDS[type(limit)].format(limit) for limit in arguments[1:] if type(limit) in LIMIT_WORDS]
        return " ".join([allowed(arguments[0]), " and ".join(limits)]).strip()
    if origin is Literal:
        return _either([f"`{literal}`" for literal in arguments])
    if origin in (typing.Union, types.UnionType):
        return _either([allowed(part) for part in arguments])
    if origin in (list, tuple, set, frozenset):
        return f"a list of {allowed(arguments[0])}" if arguments else "a list"
    if origin is dict:
        return f"a mapping of {allowed(arguments[0])} to {allowed(arguments[1])}"
    return TYPE_WORDS.get(annotation) or f"a {annotation.__name__.lower()}"


def got(value: Any) -> str:
    """A value in words, short enough for one line."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return f"a mapping ({', '.join(map(str, value))[:40]})"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    kind = {bool: "", str: "the text ", int: "the number ", float: "the number "}.get(type(value), f"a {type(value).__name__} ")
    word = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{kind}`{word if len(word) <= 60 else word[:57] + '...'}`"


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


# ---- dataclass -> mapping, YAML, JSON Schema ---------------------------------------------------------------------------


def to_mapping(instance: Any) -> dict:
    """The complete nested mapping of an instance, in plain YAML values: `build(type(x), to_mapping(x)) == x`."""
    result = {}
    for field, _ in _fields(type(instance)):
        value = vars(instance)[field.name]
        choices = field.metadata.get("choices")
        if choices and value is None:
            result[field.name] = "auto"
        elif choices:
            inner = to_mapping(value)
            name = _name_of(value, choices)
            result[field.name] = {"name": name, **inner} if inner else name
        elif dataclasses.is_dataclass(value):
            result[field.name] = to_mapping(value)
        else:
            result[field.name] = _plain(value)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


class _Writer(yaml.SafeDumper):
    """PyYAML's writer that also quotes the text which only YAML 1.2 would read as a number."""


_Writer.yaml_implicit_resolvers = {first: list(rules) for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()}
for _tag, (_pattern, _first, _) in PLAIN.items():
    _Writer.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern.pattern})$"), _first)


def to_yaml(settings: Any, *, comments: Mapping[str, str] | None = None) -> str:
    """A dataclass instance or a mapping as YAML that reads back equal; `comments` (dotted key -> text) stand behind their line."""
    mapping = to_mapping(settings) if dataclasses.is_dataclass(settings) else settings
    return "".join(_lines(_plain(mapping), "", "", comments or {})) or "{}\n"


def _lines(mapping: Mapping, indent: str, prefix: str, comments: Mapping[str, str]) -> Iterator[str]:
    for key, value in mapping.items():
        path = f"{prefix}{key}"
        comment = f"  # {' '.join(comments[path].split())}" if path in comments else ""
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_word(key)}:{comment}\n"
            yield from _lines(value, indent + "  ", f"{path}.", comments)
        else:
            yield f"{indent}{_word(key)}: {_word(value)}{comment}\n"


def _word(value: Any) -> str:
    if isinstance(value, str) and not value.isprintable():
        return json.dumps(value)  # one line with escapes, which YAML reads as JSON does
    text = yaml.dump(value, Dumper=_Writer, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def json_schema(cls: type, *, title: str = "") -> dict:
    """JSON Schema (draft 2020-12) of a dataclass; the descriptions are the lines under its fields."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title or cls.__name__, **_schema(cls)}


def _schema(cls: type, name: str = "") -> dict:
    properties: dict[str, dict] = {"name": {"const": name}} if name else {}
    required = ["name"] if name else []
    for field, annotation in _fields(cls):
        choices, section, default = field.metadata.get("choices"), _section(annotation), _default(field)
        if choices:
            words = [*choices, *(["auto"] if _may_be_none(annotation) else [])]
            inner = {"anyOf": [{"enum": words}, *(_schema(member, member_name) for member_name, member in choices.items())]}
        elif section:
            inner = _schema(section)
        else:
            inner = _adapter(annotation).json_schema()
        if default is dataclasses.MISSING:
            required.append(field.name)
        elif not section and not choices:
            inner["default"] = _plain(default)
        doc = docs(cls).get(field.name, "")
        properties[field.name] = {"description": doc, **inner} if doc else inner
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema
