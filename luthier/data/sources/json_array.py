"""A JSON array of objects, read one element at a time so that memory does not grow with the file."""
import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from luthier.data.findings import Finding
from luthier.data.sources.encoding import UTF8_MARK, undecodable, wrong_head
from luthier.data.sources.jsonl import not_an_object
from luthier.data.sources.lines import BROKEN_GZIP, HEAD, broken_gzip, open_bytes
from luthier.data.sources.rows import Place, Row
from luthier.data.sources.strict_json import Fault, parse

SMALLEST_READ = 1 << 14
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"|["\[\]{},]', re.S)
_SPACE = re.compile(r"[ \t\n\r]*")


def read(path: Path, place: Place, max_line_bytes: int) -> Iterator[Row | Finding]:
    """The elements as rows. A damaged element is one Finding; where its end cannot be told, reading stops there."""
    with open_bytes(path) as stream:
        if found := wrong_head(stream.peek(HEAD)[:HEAD], place):
            yield found
            return
        window = _Window(stream, place, max_line_bytes)
        try:
            yield from _elements(window, place)
        except _Stop as stop:
            yield stop.finding


def _elements(window: "_Window", place: Place) -> Iterator[Row | Finding]:
    if window.next_character() == "[":
        window.drop(1)
    if window.next_character() == "]":
        window.drop(1)
        _nothing_more(window)
        return
    number = 0
    while True:
        number += 1
        text, end = window.element()
        found = _row(text, end, number, window, place)
        yield found
        if type(found) is Finding and found.fatal:
            return
        window.drop(len(text))
        if end == "}":
            raise _Stop(window.stop("D100", "a `}` that closes nothing", "remove it"))
        if end == "":
            raise _Stop(window.stop("D100", "the array is not closed", "the file is cut off; write it whole, or end it with `]`"))
        window.drop(1)
        if end == "]":
            _nothing_more(window)
            return
        if window.next_character() == "]":
            raise _Stop(window.stop("D100", "`]` right after a comma", "remove the comma after the last row"))


def _row(text: str, end: str, number: int, window: "_Window", place: Place) -> Row | Finding:
    line, column, offset = window.place_of(0)
    try:
        if end and not text.strip():
            raise Fault(len(text), f"expected a row, got `{end}`", "remove the comma")
        value = parse(text)
    except Fault as fault:
        told = fault.tell(lambda position: "line {}, column {}".format(*window.place_of(position)))
        line, column, offset = window.place_of(fault.position)
        return Finding(fault.code, "error", told, place.file, line, column, offset, rows=[number], hint=fault.hint, raw=text, fatal=end == "")
    if type(value) is dict:
        return Row(value, line, offset, number, place.file)
    return not_an_object(value, text, place, line, offset, number, column)


def _nothing_more(window: "_Window") -> None:
    if character := window.next_character():
        raise _Stop(window.stop("D100", f"`{character}` after the end of the array", "a file holds one array; for several, use JSONL"))


class _Stop(Exception):
    """Reading cannot go on."""

    def __init__(self, finding: Finding):
        self.finding = finding


class _Window:
    """The part of the text that is being read, and where in the file it begins."""

    def __init__(self, stream: BinaryIO, place: Place, limit: int):
        self.stream, self.place, self.limit = stream, place, limit
        self.decode = codecs.getincrementaldecoder("utf-8")().decode
        self.text, self.finished = "", False
        self.line, self.column, self.offset = 1, 1, 0
        self.read_bytes = 0
        if stream.peek(3)[:3] == UTF8_MARK:
            self.offset = self.read_bytes = len(stream.read(3))

    def more(self) -> None:
        """Read on: as much again as is held, so that a long element costs linear time."""
        try:
            block = self.stream.read(max(SMALLEST_READ, len(self.text)))
            self.text += self.decode(block, not block)
        except UnicodeDecodeError as error:
            self.text += error.object[: error.start].decode()
            line, column, offset = self.place_of(len(self.text))
            found = undecodable(error.object, error, self.place, line, offset - error.start, column)
            found.fatal, found.raw = True, None
            raise _Stop(found) from None
        except BROKEN_GZIP as error:
            line, _, offset = self.place_of(len(self.text))
            raise _Stop(broken_gzip(self.place, error, line, offset)) from None
        self.finished = not block

    def next_character(self) -> str:
        """The next character that is not space, which is then the first of the window; empty at the end of the file."""
        while True:
            self.drop(_SPACE.match(self.text).end())
            if self.text or self.finished:
                return self.text[:1]
            self.more()

    def element(self) -> tuple[str, str]:
        """The text up to the comma or bracket that ends this element, and that character; the rest and "" where the file ends first."""
        self.next_character()
        depth, at = 0, 0
        while True:
            match = _MARKS.search(self.text, at)
            if match and match[0] != '"':
                mark, at = match[0], match.end()
                if depth == 0 and mark in ",]}":
                    return self.text[: match.start()], mark
                depth += (mark in "[{") - (mark in "]}")
            elif self.finished:
                return self.text, ""
            else:
                at = match.start() if match else len(self.text)
                if len(self.text) > self.limit:
                    raise _Stop(self.stop("D102", f"the row that begins here has more than the limit of {self.limit:,} bytes", "is a quote or a bracket missing? else raise data.max_line_bytes"))
                self.more()

    def place_of(self, position: int) -> tuple[int, int, int]:
        """Line, column and byte offset of a position in the window."""
        before = self.text[:position]
        feeds = before.count("\n")
        column = position - before.rindex("\n") if feeds else self.column + position
        return self.line + feeds, column, self.offset + len(before.encode())

    def drop(self, count: int) -> None:
        """Move the beginning of the window on."""
        if count:
            self.line, self.column, self.offset = self.place_of(count)
            self.text = self.text[count:]

    def stop(self, code: str, message: str, hint: str) -> Finding:
        line, column, offset = self.place_of(0)
        return self.place.stop(code, message, hint, line=line, column=column, byte_offset=offset)
