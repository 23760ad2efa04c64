"""What stands in the header of a GGUF file, read strictly: every count and length is held against the bytes there are before anything is made of them.

The layout is that of the specification (ggml's docs/gguf.md): magic, version, number of tensors and of fields, the fields, then name, shape, type and place of each tensor. Versions 2 and 3,
little-endian. A file of others may claim anything; a false claim is Refused (S102), and tensors are never touched here.
"""
import math
import struct
from collections.abc import Mapping
from pathlib import Path

from luthier.errors import Refused

MOST_BYTES = 64 << 20
"""Of a header: several times what the largest vocabularies take."""
MOST_FIELDS, MOST_TENSORS, MOST_ITEMS, MOST_AXES = 1 << 12, 1 << 16, 1 << 22, 4
LONGEST_NAME, LONGEST_PIECE = 1 << 10, 512
"""Bytes of a key or a tensor's name, characters of a token."""
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


class Untrue(Exception):
    """A claim that the bytes do not bear out."""


class Bytes:
    """A cursor over the beginning of a file."""

    def __init__(self, path: Path):
        self.size = path.stat().st_size
        with open(path, "rb") as stream:
            self.raw = stream.read(MOST_BYTES)
        self.at = 0

    def number(self, code: str) -> int | float:
        width = struct.calcsize("<" + code)
        self.need(width)
        (found,) = struct.unpack_from("<" + code, self.raw, self.at)
        self.at += width
        return found

    def need(self, count: int) -> None:
        if count > len(self.raw) - self.at:
            raise Untrue(f"{count:,} bytes are claimed at byte {self.at:,} of {self.size:,}")

    def count(self, most: int, what: str) -> int:
        found = self.number("Q")
        if found > most:
            raise Untrue(f"{found:,} {what}; at most {most:,} are read")
        return found

    def text(self, most: int, what: str) -> str:
        length = self.count(most, f"bytes of {what}")
        self.need(length)
        try:
            found = self.raw[self.at : self.at + length].decode("utf-8")
        except UnicodeDecodeError:
            raise Untrue(f"{what} at byte {self.at:,} is no UTF-8") from None
        self.at += length
        return found

    def value(self, kind: int, key: str):
        """One value of a kind; arrays hold no arrays."""
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == STRING:
            return self.text(len(self.raw), key)
        if kind != ARRAY:
            raise Untrue(f"the field {key} is of the unknown kind {kind}")
        inner, count = self.number("I"), self.count(MOST_ITEMS, f"items of {key}")
        if inner == STRING:
            self.need(8 * count)
            return [self.text(len(self.raw), key) for _ in range(count)]
        if inner not in NUMBERS:
            raise Untrue(f"the field {key} is a list of the kind {inner}")
        form = f"<{count}{NUMBERS[inner]}"
        self.need(struct.calcsize(form))
        found = list(struct.unpack_from(form, self.raw, self.at))
        self.at += struct.calcsize(form)
        return found


def header_of(path: Path) -> dict[str, object]:
    """Field -> value, after every claim about fields and tensors has been checked; Refused (S102) where one is false."""
    path = Path(path)
    source = Bytes(path)
    try:
        if source.raw[:4] != b"GGUF":
            raise Untrue("it does not begin with GGUF")
        source.at = 4
        if (version := source.number("I")) not in (2, 3):
            raise Untrue(f"version {version}; 2 and 3 are read")
        tensors, fields = source.count(MOST_TENSORS, "tensors"), source.count(MOST_FIELDS, "fields")
        found: dict[str, object] = {}
        for _ in range(fields):
            key = source.text(LONGEST_NAME, "a key")
            if key in found:
                raise Untrue(f"the field {key[:80]!r} comes twice")
            found[key] = source.value(source.number("I"), key[:80])
        check_tensors(source, tensors, found.get("general.alignment", 32))
    except Untrue as error:
        raise Refused(f"{path} is not a sound GGUF file: {error}", code="S102", file=str(path), hint="download the file again") from None
    return found


def check_tensors(source: Bytes, count: int, alignment: object) -> None:
    """Names, shapes and places of the tensors: none twice, each within the file and at its own place."""
    from gguf.constants import GGML_QUANT_SIZES

    if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1) or alignment > 1 << 16:
        raise Untrue(f"an alignment of {str(alignment)[:40]}")
    spans, names = [], set()
    for _ in range(count):
        name = source.text(LONGEST_NAME, "a tensor's name")
        axes = source.number("I")
        if name in names or not 1 <= axes <= MOST_AXES:
            raise Untrue(f"the tensor {name[:80]!r} comes twice, or has {axes:,} axes")
        names.add(name)
        shape = [source.number("Q") for _ in range(axes)]
        kind, begin = source.number("I"), source.number("Q")
        block, width = GGML_QUANT_SIZES.get(kind, (0, 0))
        if not block or shape[0] % block or not all(shape) or begin % alignment:
            raise Untrue(f"the entry of tensor {name[:80]!r} is false")
        spans.append((begin, begin + math.prod(shape) // block * width, name))
    start = -(-source.at // alignment) * alignment
    end_before = 0
    for begin, end, name in sorted(spans):
        if begin < end_before or start + end > source.size:
            raise Untrue(f"the tensor {name[:80]!r} lies on another one or beyond the end of the file")
        end_before = end


def check_words(header: Mapping[str, object], path: Path) -> None:
    """The fields of a tokenizer fit each other: lists of one length, merges of two parts, ids that are there. Refused (S105) where not."""
    tokens, kinds = header.get("tokenizer.ggml.tokens"), header.get("tokenizer.ggml.token_type")
    merges, scores = header.get("tokenizer.ggml.merges", []), header.get("tokenizer.ggml.scores")
    words = lambda given: type(given) is list and all(type(one) is str for one in given)
    sound = words(tokens) and bool(tokens) and words(merges) and type(kinds) is list and len(kinds) == len(tokens) and all(type(kind) is int for kind in kinds)
    sound = sound and max(map(len, tokens)) <= LONGEST_PIECE and all(len(merge.split(" ")) == 2 for merge in merges)
    sound = sound and (scores is None or type(scores) is list and len(scores) == len(tokens) and not any(map(math.isnan, scores)))
    sound = sound and (scores is not None or header.get("tokenizer.ggml.model") != "llama")
    ids = [value for name, value in header.items() if name.startswith("tokenizer.ggml.") and name.endswith("_token_id")]
    template = header.get("tokenizer.chat_template", "")
    if not sound or type(template) is not str or not all(type(number) is int and 0 <= number < len(tokens) for number in ids):
        raise Refused(f"the tokenizer in {path} does not fit together", code="S105", file=str(path), hint="download the file again")
