"""Values, types and names in the words of a message."""

import difflib
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import annotated_types

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
        return either([f"`{literal}`" for literal in arguments])
    if origin in (typing.Union, types.UnionType):
        return either([allowed(part) for part in arguments])
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


def either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def nearest(word: str, names) -> str:
    """The name that was probably meant: close in spelling, or having the word as its initials (`lr`, `wd`); else empty."""
    names = list(names)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    initials = [name for name in names if len(word) > 1 and "".join(part[:1] for part in re.split(r"[_.]", name)) == word.lower()]
    return (close or initials or [""])[0]
