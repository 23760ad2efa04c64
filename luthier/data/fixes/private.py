"""Private things masked by their kind, or replaced by pseudonyms: the same thing gets the same pseudonym in every row, turn and file of one key.

A pseudonym is a keyed hash (HMAC-SHA-256); without the key file nobody can tell whom it stands for, or that two keys mean the same person. The key file also lists what each
pseudonym stands for, so that its owner can undo it; it is made readable for its owner only. Pseudonyms use names that cannot exist (RFC 2606's `.invalid`, the
unassigned country code 999), so that they are never taken for private themselves.
"""
import hashlib
import hmac
import itertools
import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from luthier.data.private import found_by, scan
from luthier.errors import DataError, Refused
from luthier.files import read_json, replacing

LENGTH = 10
PSEUDONYM = re.compile(r"\[[a-z]+-[0-9a-f]{10}\]|person-[0-9a-f]{10}@pseudonym\.invalid|\+999 \d{9}")


def normal(kind: str, text: str) -> str:
    """A thing however it is written."""
    return text.casefold() if kind == "email" else "".join(character for character in text if character.isalnum()).casefold()


class Pseudonyms:
    """The key and what its pseudonyms stand for."""

    def __init__(self, path: Path):
        self.path = path
        known = read_json(path) if path.exists() else {"key": secrets.token_hex(32), "pseudonyms": {}}
        if path.exists() and path.stat().st_mode & 0o077:
            raise Refused(f"the key file {path} can be read by others", code="S125", file=str(path), hint=f"chmod 600 {path}")
        if not isinstance(known, dict) or not {"key", "pseudonyms"} <= known.keys():
            raise DataError(f"{path} is no key file", code="D151", file=str(path), hint="name the file that an earlier --pii pseudonym wrote")
        self.key, self.known = bytes.fromhex(known["key"]), known["pseudonyms"]

    def of(self, kind: str, text: str) -> str:
        """The pseudonym of a private thing. Names are replaced word by word, so that a surname alone is known again."""
        if kind == "name":
            return re.sub(r"[^\W_][\w'\u2019-]*", lambda word: self.one(kind, word[0]), text)
        return self.one(kind, text)

    def one(self, kind: str, text: str) -> str:
        """The pseudonym of one thing; where a short hash would make two things one, it is drawn again."""
        plain = normal(kind, text)
        for again in itertools.count():
            code = hmac.new(self.key, f"{kind}\0{plain}{again or ''}".encode(), hashlib.sha256).hexdigest()[:LENGTH]
            name = f"person-{code}@pseudonym.invalid" if kind == "email" else f"+999 {int(code, 16) % 10**9:09d}" if kind == "phone" else f"[{kind}-{code}]"
            if normal(kind, self.known.setdefault(name, text)) == plain:
                return name

    def restored(self, text: str) -> str:
        """The text with every pseudonym of this key as what it stands for."""
        return PSEUDONYM.sub(lambda match: self.known.get(match[0], match[0]), text)

    def save(self) -> None:
        """Write the key file, for its owner only."""
        with replacing(self.path, mode=0o600) as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(json.dumps({"key": self.key.hex(), "pseudonyms": self.known}, ensure_ascii=False, indent=1).encode())


def make(options) -> Callable[[str], str]:
    """`options.pii` is mask or pseudonym, `options.pseudonyms` the key with its names."""
    replace = options.pseudonyms.of if options.pii == "pseudonym" else lambda kind, text: f"[{kind}]"

    def clean(text: str) -> str:
        spans = scan(text)
        if options.names is not None:
            named = [span for span in found_by(options.names, [text])[0] if not any(span.start < other.end and other.start < span.end for other in spans)]
            spans = sorted([*spans, *named])
        for span in reversed(spans):
            text = text[: span.start] + replace(span.kind, text[span.start : span.end]) + text[span.end :]
        return text

    return clean
