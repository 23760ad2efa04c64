"""Plain text: documents separated by `<|endoftext|>` lines where the file has them, else by blank lines."""
from collections.abc import Iterator
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.sources.lines import Line, head_of, open_bytes, read_lines
from luthier.data.sources.rows import Place, Row

SEPARATOR = "<|endoftext|>"
HEAD = 1 << 20


def read(path: Path, place: Place, max_line_bytes: int, *, whole: bool = False) -> Iterator[Row | Finding]:
    """One row `{text}` per document. With `whole`, the file is one document (files of a folder)."""
    marked = SEPARATOR.encode() in head_of(path, HEAD)
    if not whole:
        yield place.note(f"one document ends at each `{SEPARATOR}`" if marked else "one document ends at each blank line")
    with open_bytes(path) as stream:
        yield from _documents(read_lines(stream, place, max_line_bytes), place, max_line_bytes, "" if whole else SEPARATOR if marked else "\n")


def _documents(lines: Iterator[Line | Finding], place: Place, limit: int, separator: str) -> Iterator[Row | Finding]:
    held: list[str] = []
    first: Line | None = None
    number = size = 0
    for line in lines:
        if type(line) is Finding:
            number += not line.fatal
            line.rows = None if line.fatal else [number]
            yield line
            continue
        if "\0" in line.text:
            number += 1
            yield _nul(line, place, number)
            continue
        pieces = line.text.split(separator) if separator == SEPARATOR else [""] * 2 if separator and not line.text.strip() else [line.text]
        for at, piece in enumerate(pieces):
            if at and first is not None:
                number += 1
                yield _document(held, first, place, number, size, limit)
                held, first, size = [], None, 0
            if piece.strip() or first is not None:
                first = first or line
                held.append(piece)
                size += len(piece) + 1
    if first is not None:
        yield _document(held, first, place, number + 1, size, limit)


def _document(held: list[str], first: Line, place: Place, number: int, size: int, limit: int) -> Row | Finding:
    if size > limit:
        return Finding("D102", "error", f"the document has about {size:,} characters, more than the limit of {limit:,}", place.file, first.number, 1, first.byte_offset, rows=[number], hint="separate documents by blank lines, or raise data.max_line_bytes")
    return Row({"text": "\n".join(held).strip("\n")}, first.number, first.byte_offset, number, place.file)


def _nul(line: Line, place: Place, number: int) -> Finding:
    at = line.text.index("\0")
    offset = line.byte_offset + len(line.text[:at].encode())
    return Finding("D101", "error", "a NUL character", place.file, line.number, at + 1, offset, rows=[number], hint="the file holds binary data or another encoding; save it as UTF-8 text", raw=line.text)
