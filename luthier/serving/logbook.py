"""What the server writes down: one event is one line, no secret stands in it, and nothing in it can move a terminal.

Texts of prompts and answers are never logged; what this file takes out are keys that came where none belongs: in a path, a header, an error's words.
"""
import logging
import os
import re
import sys
import time
from typing import TextIO

SHORTEST_SECRET = 8
NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.I)
"""Environment variables whose values are secrets."""
KNOWN = re.compile(
    r"hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|luthier-[A-Za-z0-9_-]{20,}|A(?:KIA|SIA)[A-Z0-9]{16}|xox[abeprs]-[A-Za-z0-9-]{10,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|AIza[A-Za-z0-9_-]{30,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]{0,8192}?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"
)
"""Keys that say what they are."""
BEHIND_A_WORD = re.compile(
    r"(?i)(authorization[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?:(?:bearer|basic)\s{1,3})?|(?:bearer|basic)\s{1,3}(?=[A-Za-z0-9._~+/=-]{0,256}\d)(?=[A-Za-z0-9._~+/=-]{10})|(?<![A-Za-z0-9])(?:x-)?(?:api|access|auth|secret|private|client|session)?[_-]?(?:password|passwd|secret|api[_-]?key|apikey|access[_-]?key|access[_-]?token|auth[_-]?token|refresh[_-]?token|session[_-]?token|secret[_-]?key|signature)"
    r"[\"']?\s{0,3}[=:]\s{0,3}[\"']?)([^\s\"'&,;)}\]]{6,})"
)
"""A value behind the name of a secret; names such as num_tokens or cls_token are none."""
IN_ADDRESSES = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@]{0,64}):([^\s/@]{1,128})@")
"""The password of an address."""
MOVING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\\\\]")
MOST_CHARACTERS = 16_384


def secrets_of(environment: dict[str, str]) -> list[str]:
    """Values of an environment that must stand in no line, the longest first."""
    return sorted({value for name, value in environment.items() if NAMES.search(name) and len(value) >= SHORTEST_SECRET and not value.startswith("/")}, key=len, reverse=True)


def redacted(text: str, values: list[str] = ()) -> str:
    """The text without secrets: those that are told, and those that look like one."""
    for value in values:
        text = text.replace(value, "[secret]")
    text = KNOWN.sub("[secret]", text)
    return IN_ADDRESSES.sub(r"\1:[secret]@", BEHIND_A_WORD.sub(r"\1[secret]", text))


def in_one_line(text: str) -> str:
    """The text with every sign that could end a line or move a terminal written out."""
    return MOVING.sub(lambda found: "\\\\" if found[0] == "\\" else {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(found[0], f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}"), text)


class Line(logging.Formatter):
    """Time, level, part and words, in one line."""

    converter = time.gmtime

    def __init__(self, values: list[str] = ()):
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.values = list(values)

    def format(self, record: logging.LogRecord) -> str:
        """The record with its traceback, if it has one, behind its words."""
        return in_one_line(redacted(super().format(record)[:MOST_CHARACTERS], self.values))


def keep(stream: TextIO | None = None) -> logging.Handler:
    """Write what the server and its libraries say to a stream; returns the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Line(secrets_of(dict(os.environ))))
    for name, level in (("luthier.serving", logging.INFO), ("uvicorn", logging.WARNING), ("asyncio", logging.WARNING)):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(level)
    return handler
