"""JSON read strictly: nothing is repaired, and where a text stops being JSON the first wrong character is named.

The fast path is Python's own C decoder with hooks that refuse what RFC 8259 leaves to chance (duplicate keys, NaN, numbers too large,
lone surrogates, bottomless nesting). Only a text that it refuses is read again, character by character, to find the place and the reason.
"""
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

DEEPEST = 64
LONGEST_NUMBER = 1000


@dataclass
class Fault(Exception):
    """Why a text is not JSON: `position` is the 0-based index of the first character that cannot stand where it stands."""

    position: int
    reason: str
    hint: str = ""
    code: str = "D100"
    ended: bool = False
    """The text ended too early: nothing in it is wrong so far."""
    opened: int | None = None
    """Where the bracket or string opens that the text ended inside of; `{opened}` in the reason stands for it."""

    def __str__(self) -> str:
        return self.tell(lambda position: f"column {position + 1}")

    def tell(self, place_of: Callable[[int], str]) -> str:
        """The reason, with positions told as places of the file."""
        return self.reason if self.opened is None else self.reason.replace("{opened}", place_of(self.opened))


# ---- the fast path ------------------------------------------------------------------------------
def _object(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value) or len(text) > LONGEST_NUMBER:
        raise ValueError("number out of range")
    return value


def _int(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise ValueError("number too long")
    return int(text)


def _constant(text: str):
    raise ValueError(text)


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant)
_ESCAPED_TROUBLE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


def _decoded(text: str):
    """The value of a text: at once where it is all that stands there, with care for white space around it otherwise."""
    try:
        value, end = _decoder.scan_once(text, 0)
    except StopIteration:
        return _decoder.decode(text)
    return value if end == len(text) else _decoder.decode(text)


def parse(text: str):
    """The value of a JSON text. Raises Fault with the place of the first character that is wrong.

    Objects become dicts, and depth is at most 64, numbers are finite and at most 1,000 characters long.
    """
    if text.count("[") + text.count("{") > DEEPEST and (fault := _too_deep(text)):
        raise find_fault(text) or fault
    try:
        value = _decoded(text)
    except (ValueError, RecursionError) as error:
        raise find_fault(text) or Fault(getattr(error, "pos", 0), str(error)) from None
    if "\\u" in text and _ESCAPED_TROUBLE.search(text) and (fault := find_fault(text)):
        raise fault
    return value


_BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.S)


def _too_deep(text: str) -> Fault | None:
    depth = 0
    for match in _BRACKETS_AND_STRINGS.finditer(text):
        character = text[match.start()]
        if character in "[{":
            depth += 1
            if depth > DEEPEST:
                return Fault(match.start(), f"more than {DEEPEST} levels of nesting", "flatten the row; no record needs this depth", "D106")
        elif character != '"':
            depth -= 1
    return None


# ---- the slow path: find the place ----------------------------------------------------------------
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_NOT_JSON_WORDS = ("NaN", "Infinity", "-Infinity")
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
_HEX = frozenset("0123456789abcdefABCDEF")


def find_fault(text: str) -> Fault | None:
    """The first place where a text is not strict JSON, or None where it is. Never recurses; linear in the text."""
    try:
        _Walk(text).run()
    except Fault as fault:
        return fault
    return None


class _Walk:
    """One pass over a text with an explicit stack of open brackets."""

    def __init__(self, text: str):
        self.text = text
        self.at = 0
        self.open: list[tuple[str, int, set | None]] = []

    def run(self) -> None:
        self.skip()
        self.value()
        while self.open:
            self.skip()
            self.inside()
        self.skip()
        if self.at < len(self.text):
            raise self.surplus()

    # ---- structure
    def inside(self) -> None:
        """After a value inside a bracket: a comma and the next member, or the closing bracket."""
        bracket, start, _ = self.open[-1]
        closing = "}" if bracket == "{" else "]"
        character = self.peek(f"the text ends inside the {_kind(bracket)} that opens at {{opened}}", opened=start)
        if character == closing:
            self.at += 1
            self.open.pop()
        elif character == ",":
            self.at += 1
            self.skip()
            if self.peek(f"the text ends after a comma inside the {_kind(bracket)} that opens at {{opened}}", opened=start) in "]}":
                raise self.fault(f"`{self.text[self.at]}` right after a comma", "remove the comma before it")
            self.member()
        else:
            hint = "put a comma between the members" if character in '"{[-0123456789tfn' else ""
            raise self.fault(f"expected a comma or `{closing}`, got {_show(character)}", hint)

    def member(self) -> None:
        bracket, start, seen = self.open[-1]
        if bracket == "{":
            character = self.peek("the text ends inside the object that opens at {opened}", opened=start)
            if character != '"':
                raise self.fault(f"expected a key in double quotes, got {_show(character)}", _quote_hint(character))
            key_at = self.at
            key = self.string()
            if key in seen:
                raise Fault(key_at, f"the key {_clip(key)} stands twice in one object", "keep one of the two", "D105")
            seen.add(key)
            self.skip()
            character = self.peek(f"the text ends after the key {_clip(key)}")
            if character != ":":
                raise self.fault(f"expected `:` after the key {_clip(key)}, got {_show(character)}")
            self.at += 1
            self.skip()
        self.value()

    def value(self) -> None:
        """A value, or the opening of a bracket whose members `inside` reads."""
        character = self.peek("the text ends where a value should stand")
        if character in "{[":
            if len(self.open) >= DEEPEST:
                raise self.fault(f"more than {DEEPEST} levels of nesting", "flatten the row; no record needs this depth", "D106")
            self.open.append((character, self.at, set() if character == "{" else None))
            self.at += 1
            self.skip()
            if self.text[self.at : self.at + 1] not in ("}" if character == "{" else "]", ""):
                self.member()
        elif character == '"':
            self.string()
        elif character in "-0123456789":
            self.number()
        else:
            self.literal(character)

    # ---- leaves
    def string(self) -> str:
        start = self.at
        self.at += 1
        while True:
            self.at = _PLAIN.match(self.text, self.at).end()
            character = self.peek("the text ends inside the string that opens at {opened}", "close the string with a double quote", opened=start)
            if character == '"':
                self.at += 1
                return json.loads(self.text[start : self.at])
            if character == "\\":
                self.escape()
            elif character == "\0":
                raise self.fault("a NUL character", "the file holds binary data or another encoding; save it as UTF-8 text", "D101")
            else:
                word = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(character, f"\\u{ord(character):04x}")
                raise self.fault(f"a raw control character (U+{ord(character):04X}) in a string", f"write it as {word}")

    def escape(self) -> None:
        start = self.at
        self.at += 1
        character = self.peek("the text ends inside an escape")
        if character != "u":
            if character not in '"\\/bfnrt':
                raise self.fault(f"`\\{character}` is no escape of JSON", "write a backslash as \\\\")
            self.at += 1
            return
        code = self.hexadecimal()
        if code == 0:
            raise Fault(start, "an escaped NUL character", "remove it; no tokenizer reads it", "D101")
        low = self.text[self.at : self.at + 2] == "\\u" and 0xD800 <= code < 0xDC00
        if low:
            self.at += 1
            low = 0xDC00 <= self.hexadecimal() < 0xE000
        if 0xD800 <= code < 0xE000 and not low:
            raise Fault(start, f"half a character: \\u{code:04x} is a lone surrogate", "write both halves, or the character itself", "D101")

    def hexadecimal(self) -> int:
        """Four hex digits after the `u` at this place."""
        self.at += 1
        for _ in range(4):
            if self.peek("the text ends inside an escape") not in _HEX:
                raise self.fault(f"\\u takes four hex digits, got {_show(self.text[self.at])}")
            self.at += 1
        return int(self.text[self.at - 4 : self.at], 16)

    def number(self) -> None:
        start = self.at
        if self.text.startswith("-Infinity", start):
            raise self.fault("`-Infinity` is no JSON number", "write null, or leave the row out", "D104")
        match = _NUMBER.match(self.text, start)
        self.at = match.end() if match else start + 1
        rest = self.text[self.at : self.at + 1]
        if not match or (rest == "." and not match[1] and not match[2]) or (rest in ("e", "E") and not match[2]):
            if match:
                self.at += 1 + (self.text[self.at] in "eE" and self.text[self.at + 1 : self.at + 2] in ("+", "-"))
            raise self.fault(f"expected a digit, got {_show(self.peek('the text ends inside a number'))}")
        if rest.isdigit() and rest.isascii():
            raise self.fault("a number must not start with 0", "remove the leading zero, or put the value in quotes")
        if match.end() - start > LONGEST_NUMBER or (match[1] or match[2]) and math.isinf(float(match[0])):
            raise Fault(start, f"the number {_clip(match[0])} is too large to hold", "put it in quotes if it is a name", "D104")

    def literal(self, character: str) -> None:
        word = _LITERALS.get(character, "")
        for wrong in _NOT_JSON_WORDS:
            if self.text.startswith(wrong, self.at):
                raise self.fault(f"`{wrong}` is no JSON value", "write null, or leave the row out", "D104")
        if not word:
            python = next((right for wrong, right in _PYTHON_WORDS.items() if self.text.startswith(wrong, self.at)), "")
            hint = f"write `{python}`; Python's json.dumps does" if python else _quote_hint(character)
            raise self.fault(f"expected a value, got {_show(character)}", hint)
        for expected in word:
            if self.peek(f"the text ends inside `{word}`") != expected:
                raise self.fault(f"expected `{word}`, got {_show(self.text[self.at])} in it")
            self.at += 1

    # ---- reading on
    def skip(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()

    def peek(self, ended: str, hint: str = "", opened: int | None = None) -> str:
        if self.at >= len(self.text):
            raise Fault(len(self.text), ended, hint or "the row is cut off; write it whole", ended=True, opened=opened)
        return self.text[self.at]

    def fault(self, reason: str, hint: str = "", code: str = "D100") -> Fault:
        return Fault(self.at, reason, hint, code)

    def surplus(self) -> Fault:
        character = self.text[self.at]
        if character in "{[":
            return self.fault("a second value after the row", "put each row on its own line (JSONL), or commas between the rows (JSON array)")
        if character == ",":
            last = not self.text[self.at + 1 :].strip(" \t\r\n")
            return self.fault("a comma after the row", "remove it; rows of JSONL are separated by line ends only" if last else "put each row on its own line")
        if character in "]}":
            return self.fault(f"a `{character}` that closes nothing", "remove it")
        return self.fault(f"{_show(character)} after the end of the row", "put each row on its own line")


def _kind(bracket: str) -> str:
    return "object" if bracket == "{" else "list"


def _clip(text: str, longest: int = 40) -> str:
    return f"`{text if len(text) <= longest else text[:longest] + '…'}`"


def _show(character: str) -> str:
    return f"`{character}`" if character.isprintable() else f"U+{ord(character):04X}"


def _quote_hint(character: str) -> str:
    if character in "'\u2018\u2019\u201c\u201d":
        return "JSON strings stand in straight double quotes; Python's json.dumps writes them"
    return "put it in double quotes" if character.isalpha() or character == "_" else ""
