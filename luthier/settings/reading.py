"""YAML in, strictly: unique keys, YAML 1.2's plain words, no anchors; every key knows its line."""

import re
from typing import Any

import yaml

from luthier.errors import RecipeError
from luthier.settings.origins import Origin, Origins

LARGEST_FILE = 1 << 20
"""Characters; a recipe is a page, so anything larger is a mistake or an attack."""
DEEPEST = 64
"""Levels of nesting; PyYAML takes seconds and then the stack for what lies deeper."""
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
PLAIN = {  # YAML 1.2's core reading of unquoted words: `no` and `2024-01-01` stay text, `1e-4` is a number
    "tag:yaml.org,2002:null": (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""], lambda _: None),
    "tag:yaml.org,2002:bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"), lambda text: text.lower() == "true"),
    "tag:yaml.org,2002:int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), list("-+0123456789"), lambda text: _whole(text)),
    "tag:yaml.org,2002:float": (NUMBER, list("-+.0123456789"), float),
}


def _whole(text: str) -> int:
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


class Document(dict):
    """A parsed file: its mapping, and the 1-based line of every dotted key."""

    def __init__(self, *args, file: str = "", lines: dict[str, int] | None = None):
        super().__init__(*args)
        self.file = file
        self.lines = lines or {}

    def origins(self) -> Origins:
        return {key: Origin("file", self.file, line) for key, line in self.lines.items()}


class _Reader(yaml.SafeLoader):
    """PyYAML's parser with YAML 1.2's reading of unquoted words, and a bottom."""

    yaml_implicit_resolvers: dict = {}
    depth = 0

    def compose_node(self, parent, index):
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"nested more than {DEEPEST} deep", problem_mark=self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


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
    except yaml.YAMLError as error:
        raise RecipeError(f"not YAML: {error}", code="R107", file=file) from None
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
