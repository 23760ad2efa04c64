"""A file as numbered lines of text: UTF-8 or refused, never longer than the limit, gz read through, nothing split but at line feeds."""
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from luthier.data.findings import LONGEST_RAW, Finding
from luthier.data.sources.encoding import UTF8_MARK, undecodable, wrong_head
from luthier.data.sources.rows import Place

HEAD = 4096
BLOCK = 1 << 18
GZIP = b"\x1f\x8b"
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


class Line(NamedTuple):
    """One line without its end (LF or CRLF)."""

    number: int
    """1-based."""
    byte_offset: int
    """Of its first byte; in a gz file, of the unpacked text."""
    text: str


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked where they are gzip (told by content, not by name)."""
    with open(path, "rb", buffering=BLOCK) as stream:
        if stream.peek(2)[:2] == GZIP:
            with gzip.open(stream) as unpacked, io.BufferedReader(unpacked, BLOCK) as buffered:
                yield buffered
        else:
            yield stream


def head_of(path: Path, size: int = HEAD) -> bytes:
    """The first bytes of a file, unpacked; empty where it is not readable gzip."""
    with open_bytes(path) as stream, contextlib.suppress(*BROKEN_GZIP):
        return stream.read(size).removeprefix(UTF8_MARK)
    return b""


def broken_gzip(place: Place, error: Exception, line: int, offset: int) -> Finding:
    what = "ends early" if isinstance(error, EOFError) else f"is damaged ({error})"
    return place.stop("D109", f"the gz file {what} after line {line:,}", "copy or download it again", line=line + 1, byte_offset=offset)


def read_lines(stream: BinaryIO, place: Place, max_line_bytes: int) -> Iterator[Line | Finding]:
    """Lines, and a Finding in the place of each that is too long or not UTF-8; a fatal one ends the reading."""
    number, offset = 0, 0
    try:
        if found := wrong_head(stream.peek(HEAD)[:HEAD], place):
            yield found
            return
        if stream.peek(3)[:3] == UTF8_MARK:
            offset = len(stream.read(3))
        while raw := stream.readline(max_line_bytes + 2):
            number += 1
            if len(raw) > max_line_bytes and len(raw.rstrip(b"\r\n")) > max_line_bytes:
                size = len(raw) + (0 if raw.endswith(b"\n") else _skip_line(stream))
                yield _too_long(raw, size, place, number, offset, max_line_bytes)
                offset += size
                continue
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                yield undecodable(raw.rstrip(b"\r\n"), error, place, number, offset)
            else:
                yield Line(number, offset, text[:-2] if text.endswith("\r\n") else text[:-1] if text.endswith("\n") else text)
            offset += len(raw)
    except BROKEN_GZIP as error:
        yield broken_gzip(place, error, number, offset)


def _skip_line(stream: BinaryIO) -> int:
    """Read to the end of the line in blocks that are thrown away; the bytes skipped."""
    skipped = 0
    while block := stream.readline(BLOCK):
        skipped += len(block)
        if block.endswith(b"\n"):
            break
    return skipped


def _too_long(raw: bytes, size: int, place: Place, number: int, offset: int, limit: int) -> Finding:
    return Finding(
        "D102", "error", f"the line has {size:,} bytes, more than the limit of {limit:,}", file=place.file, line=number, column=1, byte_offset=offset,
        hint="are the line ends missing? else split the row, or raise data.max_line_bytes", raw=raw[:LONGEST_RAW].decode(errors="backslashreplace"),
    )
