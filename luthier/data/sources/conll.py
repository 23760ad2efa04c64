"""CoNLL: one word a line with its tag in the last column, sentences apart by blank lines; and CoNLL-U, where the tag is the part of speech."""
import re
from collections.abc import Iterator
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.sources.lines import Line, open_bytes, read_lines
from luthier.data.sources.rows import Place, Row

TAG = re.compile(r"O|[BIESLUM][-_]\S+")
UNIVERSAL = 10
"""Columns of CoNLL-U: id, form, lemma, part of speech ..."""
RANGE = re.compile(r"\d+[-.]\d+")
LEAST_LINES = 3


def looks_like(head: bytes) -> bool:
    """Whether the beginning of a file is CoNLL: as many columns on every line, and tags of spans in the last one."""
    lines = head.decode("utf-8", errors="replace").split("\n")[:-1] or [head.decode("utf-8", errors="replace")]
    filled = [columns for line in lines[:400] if (columns := columns_of(line)) and not line.startswith(("-DOCSTART-", "# "))]
    if len(filled) < LEAST_LINES:
        return False
    if all(len(columns) == UNIVERSAL and (columns[0].isdecimal() or RANGE.fullmatch(columns[0])) for columns in filled):
        return True
    widths = {len(columns) for columns in filled}
    return len(widths) == 1 and 2 <= widths.pop() <= 8 and all(TAG.fullmatch(columns[-1]) for columns in filled)


def columns_of(line: str) -> list[str]:
    """The columns of a line: between tabs where it has some, else between spaces."""
    line = line.rstrip("\r")
    return [column.strip() for column in line.split("\t")] if "\t" in line else line.split()


def read(path: Path, place: Place, max_line_bytes: int) -> Iterator[Row | Finding]:
    """One row `{tokens, ner_tags}` a sentence (CoNLL-U: `{tokens, upos}`); its line is that of its first word."""
    with open_bytes(path) as stream:
        yield from _sentences(read_lines(stream, place, max_line_bytes), place)


def _sentences(lines: Iterator[Line | Finding], place: Place) -> Iterator[Row | Finding]:
    held: list[list[str]] = []
    first: Line | None = None
    number, width, broken = 0, 0, None
    for line in lines:
        if type(line) is Finding:
            number += not line.fatal
            line.rows = None if line.fatal else [number]
            yield line
            continue
        columns = columns_of(line.text)
        if not any(columns) or columns[0] == "-DOCSTART-":
            if first is not None:
                number += 1
                yield broken_row(broken, number) if broken else _row(held, first, number, place)
            held, first, broken = [], None, None
            continue
        if line.text.startswith("#") and (len(columns) == 1 or width in (0, UNIVERSAL) and len(columns) != width and "\t" not in line.text):
            continue
        width = width or len(columns)
        first = first or line
        if len(columns) != width or len(columns) < 2:
            broken = broken or Finding("D107", "error", f"{len(columns)} columns where the lines before have {width}", place.file, line.number, 1, line.byte_offset, hint="each line is a word and its tag", raw=line.text)
        elif width != UNIVERSAL or columns[0].isdecimal():
            held.append(columns)
    if first is not None:
        yield broken_row(broken, number + 1) if broken else _row(held, first, number + 1, place)


def broken_row(finding: Finding, number: int) -> Finding:
    finding.rows = [number]
    return finding


def _row(held: list[list[str]], first: Line, number: int, place: Place) -> Row:
    """A sentence as two lists."""
    universal = bool(held) and len(held[0]) == UNIVERSAL
    token, tag, name = (1, 3, "upos") if universal else (0, -1, "ner_tags")
    values = {"tokens": [columns[token] for columns in held], name: [columns[tag] for columns in held]}
    return Row(values, first.number, first.byte_offset, number, place.file)
