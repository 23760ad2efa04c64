"""Separated values: comma, semicolon, tab or bar, quoted as RFC 4180 says, with the place of every fault.

A quote that is never closed swallows the rows after it. So where a record spans lines and then goes wrong, the quote that made it span
is named as the place, and reading goes on at the first line that is a whole row by itself.
"""
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.sources.lines import Line, open_bytes, read_lines
from luthier.data.sources.rows import Place, Row

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE = 1000
LONGEST_SAMPLE = 1 << 20
MOST_RUNAWAY_QUOTES = 64
LONGEST_QUOTED = 50
"""Lines that a quoted field may take for a look at whether lines fit; reading itself takes any number."""


@dataclass
class Dialect:
    """How the fields of a line are told apart."""

    delimiter: str = ","
    quoting: bool = True
    """Whether double quotes enclose fields; many tab-separated files use them as plain characters."""


@dataclass
class _Fault(Exception):
    """Why a record cannot be read, at a 0-based position of one of its lines."""

    line: Line
    position: int
    reason: str
    hint: str = ""
    code: str = "D100"
    runaway: bool = False
    """The end of the file, or the limit, came before the end of the record."""


@dataclass(slots=True)
class _Record:
    line: Line
    """Where it begins."""
    fields: list[str]
    starts: list[int] | None = None
    """Where each field begins on its line; None where the plain split was enough."""
    more: tuple[Line, ...] = ()
    """The lines after the first."""
    spanning: tuple[Line, int] | None = None
    """The quote that made the record span lines."""

    @property
    def last(self) -> Line:
        return self.more[-1] if self.more else self.line

    @property
    def raw(self) -> str:
        return _joined(self.line, self.more)


def read(path: Path, place: Place, max_line_bytes: int) -> Iterator[Row | Finding]:
    """Rows by the names of the header; values are text, as written. A Finding stands in for each record that is not a row."""
    with open_bytes(path) as stream:
        reader = _Reader(read_lines(stream, place, max_line_bytes), place, max_line_bytes)
        header = yield from reader.header()
        if header:
            yield from reader.rows(header)


class _Reader:
    """Lines on their way to records, with the look-ahead that broken quotes need."""

    def __init__(self, lines: Iterator[Line | Finding], place: Place, limit: int):
        self.lines, self.place, self.limit = lines, place, limit
        self.waiting: deque[Line | Finding] = deque()
        self.dialect = Dialect()
        self.runaways = 0
        self.number = 0
        self.width = 0

    def next(self) -> Line | Finding | None:
        return self.waiting.popleft() if self.waiting else next(self.lines, None)

    # ---- the header
    def header(self) -> Iterator[Finding]:
        """Find the dialect and return the names of the columns; none where the file is empty or its header cannot be read."""
        sample: list[Line | Finding] = []
        size = 0
        while len(sample) < SAMPLE and size < LONGEST_SAMPLE and (line := next(self.lines, None)):
            sample.append(line)
            size += len(line.text) if type(line) is Line else 0
        named = _declared_delimiter(sample)
        self.waiting.extend(sample)
        texts = [line.text for line in sample if type(line) is Line and line.text]
        self.dialect = sniff(texts, self.place.file, named)
        if notice := _dialect_notice(self.dialect, texts):
            yield self.place.note(notice)
        first = self.record()
        while type(first) is Finding and not first.fatal and first.line is None:
            first = self.record()
        if first is None:
            return []
        if type(first) is Finding:
            yield self.place.stop(first.code if first.fatal else "D108", f"the header cannot be read: {first.message}", first.hint, line=first.line, column=first.column, byte_offset=first.byte_offset)
            return []
        names = [name.strip() for name in first.fields]
        if finding := self.twice(first, names):
            yield finding
            return []
        if value := self.looks_like_data(names, texts):
            yield self.place.note(
                f"the first line looks like data, not like names (`{value[:40]}` is also a value further down), so it is read as a row and the columns are called column_1 ... column_{len(names)}",
                "put a line with the names of the columns first", level="warning", code="D108",
            )
            names = [""] * len(names)
            self.number += 1
            yield Row({f"column_{at + 1}": value for at, value in enumerate(first.fields)}, first.line.number, first.line.byte_offset, 1, self.place.file)
        return [name or f"column_{at + 1}" for at, name in enumerate(names)]

    def twice(self, first: _Record, names: list[str]) -> Finding | None:
        if first.raw.strip() == "" or not any(names):
            return self.place.stop("D108", "the header names no column", "put the names of the columns on the first line", line=first.line.number, column=1, byte_offset=first.line.byte_offset)
        seen: dict[str, int] = {}
        for at, name in enumerate(names):
            if name and name in seen:
                column = (first.starts or _starts(first.fields))[at]
                return self.place.stop(
                    "D108", f"the column `{name[:60]}` stands twice in the header, as number {seen[name] + 1:,} and {at + 1:,}", "give each column its own name",
                    line=first.last.number, column=column + 1, byte_offset=first.last.byte_offset + len(first.last.text[:column].encode()),
                )
            seen[name] = at
        return None

    def looks_like_data(self, names: list[str], texts: list[str]) -> str:
        """A cell of the first line that is a value of its own column at least twice below it."""
        below = [text.split(self.dialect.delimiter) for text in texts[1:]]
        for at, name in enumerate(names):
            if name and sum(len(fields) == len(names) and fields[at].strip(' "') == name for fields in below) >= 2:
                return name
        return ""

    # ---- rows
    def rows(self, header: list[str]) -> Iterator[Row | Finding]:
        width, file = len(header), self.place.file
        self.width = width
        while (record := self.record()) is not None:
            if type(record) is Finding:
                self.number += not record.fatal
                record.rows = None if record.fatal else [self.number]
                yield record
                if record.fatal:
                    return
                continue
            self.number += 1
            fields = record.fields
            if len(fields) != width:
                yield self.ragged(record, header)
                continue
            yield Row(dict(zip(header, fields)), record.line.number, record.line.byte_offset, self.number, file)

    def ragged(self, record: _Record, header: list[str]) -> Finding:
        found, width = len(record.fields), len(header)
        line, column = record.last, len(record.last.text)
        if found > width and not record.spanning:
            column = (record.starts or _starts(record.fields))[width]
        elif record.spanning:
            line, column = record.spanning
        name = DELIMITERS[self.dialect.delimiter]
        hint = f"put a field that holds a {name} in double quotes" if found > width else "write empty fields too, or close the quote"
        fault = _Fault(line, column, f"the row has {found:,} field{'s' * (found != 1)}, the header {width:,}", hint, "D107")
        finding = self.finding(fault, _joined(record.line, self.read_again(record.more)))
        finding.rows = [self.number]
        finding.field = header[width - 1] if found > width else header[found]
        return finding

    def read_again(self, lines: Sequence[Line]) -> Sequence[Line]:
        """Put back the lines of a broken record from the first that begins a whole row; returns those that are lost with it."""
        following = self.ahead(LONGEST_QUOTED) if lines else []
        texts = [line.text for line in (*lines, *following)]
        fits = (not self.width or _first_record(texts[at : at + LONGEST_QUOTED], self.dialect)[1] == self.width for at in range(len(lines)))
        whole = next((at for at, fit in enumerate(fits) if fit), len(lines))
        self.waiting.extendleft(reversed(lines[whole:]))
        return lines[:whole]

    def ahead(self, count: int) -> list[Line]:
        """The next lines, up to one that cannot be read, without taking them."""
        while len(self.waiting) < count and (line := next(self.lines, None)) is not None:
            self.waiting.append(line)
        return list(takewhile(lambda line: type(line) is Line, islice(self.waiting, count)))

    # ---- records
    def record(self) -> _Record | Finding | None:
        """The next record, blank lines passed over; a Finding where it cannot be read, None at the end."""
        while type(line := self.next()) is Line and not line.text:
            pass
        if type(line) is not Line:
            return line
        text = line.text
        if "\0" in text:
            return self.finding(_Fault(line, text.index("\0"), "a NUL character", "the file holds binary data or another encoding; save it as UTF-8 text", "D101"), text)
        if not self.dialect.quoting or '"' not in text:
            if "\r" in text:
                return self.finding(_carriage_return(line, text.index("\r")), text)
            return _Record(line, text.split(self.dialect.delimiter))
        return self.quoted(line)

    def quoted(self, first: Line) -> _Record | Finding:
        """A record with quotes, over as many lines as its quoted fields need."""
        scan = _Scan(first, self.dialect.delimiter)
        used: list[Line] = []
        size = len(first.text)
        try:
            while not scan.run():
                line = self.next()
                if type(line) is Finding and not line.fatal:
                    return self.broken_inside(scan, line)
                if line is None or type(line) is Finding or size + len(line.text) > self.limit:
                    self.waiting.extendleft([line] if line is not None else [])
                    raise _Fault(*scan.opening, "the quote that opens here is never closed", "close it, or write a quote inside a field as two", runaway=True)
                used.append(line)
                size += len(line.text) + 1
                scan.go_on(line)
        except _Fault as fault:
            return self.recover(scan, fault, first, used)
        return _Record(first, scan.fields, scan.starts, tuple(used), scan.spanning)

    def recover(self, scan: "_Scan", fault: _Fault, first: Line, used: list[Line]) -> Finding:
        """The finding for a record whose quotes are broken."""
        lost = self.read_again(used)
        if scan.spanning and not fault.runaway:
            place = f"line {fault.line.number:,}, column {fault.position + 1:,}"
            fault = _Fault(*scan.spanning, f"the quote that opens here is not closed properly ({fault.reason} at {place})", "close it, or write a quote inside a field as two")
        self.runaways += fault.runaway
        finding = self.finding(fault, _joined(first, lost))
        if self.runaways > MOST_RUNAWAY_QUOTES:
            finding.fatal, finding.message = True, f"{finding.message}, the {self.runaways}th such quote: reading stops here"
        return finding

    def broken_inside(self, scan: "_Scan", inner: Finding) -> Finding:
        inner.message = f"{inner.message} (in the field that opens on line {scan.opening[0].number:,})"
        return inner

    def finding(self, fault: _Fault, raw: str) -> Finding:
        offset = fault.line.byte_offset + len(fault.line.text[: fault.position].encode())
        return Finding(fault.code, "error", fault.reason, self.place.file, fault.line.number, fault.position + 1, offset, hint=fault.hint, raw=raw)


class _Scan:
    """The fields of one record, read field by field; `run` returns False where a quoted field goes on in the next line."""

    def __init__(self, line: Line, delimiter: str):
        self.line, self.text, self.at, self.delimiter = line, line.text, 0, delimiter
        self.fields: list[str] = []
        self.starts: list[int] = []
        self.parts: list[str] | None = None
        self.opening: tuple[Line, int] = (line, 0)
        self.spanning: tuple[Line, int] | None = None

    def go_on(self, line: Line) -> None:
        self.line, self.text, self.at = line, line.text, 0
        self.spanning = self.opening

    def run(self) -> bool:
        while True:
            if self.parts is not None or self.text.startswith('"', self.at):
                if not self.quoted_field():
                    return False
            else:
                self.plain_field()
            if self.at >= len(self.text):
                return True
            self.at += 1
            if self.at == len(self.text):
                self.starts.append(self.at)
                self.fields.append("")
                return True

    def quoted_field(self) -> bool:
        """Read up to the delimiter or the end of the line after the closing quote; False where the line ends first."""
        text = self.text
        if self.parts is None:
            self.parts, self.opening = [], (self.line, self.at)
            self.starts.append(self.at)
            self.at += 1
        begin = end = self.at
        while True:
            end = text.find('"', end)
            if end < 0:
                self.parts.append(text[begin:] + "\n")
                return False
            if not text.startswith('""', end):
                break
            end += 2
        if "\0" in text:
            raise _Fault(self.line, text.index("\0"), "a NUL character", "remove it", "D101")
        self.parts.append(text[begin:end])
        self.fields.append("".join(self.parts).replace('""', '"'))
        self.parts, self.at = None, end + 1
        if self.at < len(text) and text[self.at] != self.delimiter:
            raise _Fault(self.line, self.at, f"`{text[self.at]}` right after a closing quote", "write a quote inside a field as two, or put the delimiter after it")
        return True

    def plain_field(self) -> None:
        end = self.text.find(self.delimiter, self.at)
        end = len(self.text) if end < 0 else end
        value = self.text[self.at : end]
        if '"' in value:
            position = self.at + value.index('"')
            raise _Fault(self.line, position, "a quote inside a field that does not begin with one", "enclose the field in double quotes and write the quote as two")
        if "\r" in value:
            raise _carriage_return(self.line, self.at + value.index("\r"))
        self.starts.append(self.at)
        self.fields.append(value)
        self.at = end


def _joined(first: Line, more: Sequence[Line]) -> str:
    return "\n".join([first.text, *(line.text for line in more)])


def _carriage_return(line: Line, position: int) -> _Fault:
    return _Fault(line, position, "a carriage return inside a field", "end lines with LF or CRLF, or put the field in double quotes")


def _starts(fields: list[str]) -> list[int]:
    """Where each field of a plainly split line begins."""
    starts, at = [], 0
    for value in fields:
        starts.append(at)
        at += len(value) + 1
    return starts


# ---- dialect ------------------------------------------------------------------------------------
def _declared_delimiter(sample: list) -> str:
    """The delimiter of a spreadsheet's `sep=;` line, which is then taken away."""
    if sample and type(sample[0]) is Line and sample[0].text.startswith("sep=") and len(sample[0].text) == 5:
        return sample.pop(0).text[4]
    return ""


def sniff(texts: list[str], file: str = "", named: str = "") -> Dialect:
    """The dialect of the first lines: the delimiter that splits the most lines like the header, preferring the file's own suffix."""
    usual = "\t" if ".tsv" in file.lower() or ".tab" in file.lower() else ","
    candidates = [named] if named in DELIMITERS else [usual, *(each for each in DELIMITERS if each != usual)]
    best, best_score = Dialect(candidates[0]), (0.0, 0)
    for delimiter in candidates:
        dialect = Dialect(delimiter, delimiter != "\t" or _quotes_enclose(texts, delimiter))
        widths = [width for text in texts[:200] if (width := _first_record([text], dialect)[1])]
        if widths and widths[0] > 1 and (score := (sum(width == widths[0] for width in widths) / len(widths), widths[0])) > best_score:
            if best_score[1] < 2 or score[0] > best_score[0] + 0.05:
                best, best_score = dialect, score
    if best.delimiter == "\t" and not best_score[1]:
        best.quoting = _quotes_enclose(texts, "\t")
    return best


def _quotes_enclose(texts: list[str], delimiter: str) -> bool:
    """Whether quotes enclose fields in these lines: more records are whole when read so than are broken by it."""
    whole = broken = at = 0
    while at < len(texts):
        if '"' in texts[at]:
            length, _ = _first_record(texts[at : at + LONGEST_QUOTED], Dialect(delimiter))
            whole, broken = whole + (length > 0), broken + (length == 0)
            at += max(length, 1)
        else:
            at += 1
    return whole > broken


def _first_record(texts: list[str], dialect: Dialect) -> tuple[int, int]:
    """How many lines the record takes that begins these, and how many fields it has; 0 and 0 where its quotes do not fit."""
    if not dialect.quoting or '"' not in texts[0]:
        return 1, texts[0].count(dialect.delimiter) + 1
    scan = _Scan(Line(0, 0, texts[0]), dialect.delimiter)
    try:
        for length, text in enumerate([*texts[1:], None], 1):
            if scan.run():
                return length, len(scan.fields)
            if text is not None:
                scan.go_on(Line(0, 0, text))
    except _Fault:
        pass
    return 0, 0


def _dialect_notice(dialect: Dialect, texts: list[str]) -> str:
    if not dialect.quoting and any('"' in text for text in texts):
        return f"fields are separated by a {DELIMITERS[dialect.delimiter]}, and double quotes are read as plain characters"
    return f"fields are separated by a {DELIMITERS[dialect.delimiter]}" if dialect.delimiter not in ",\t" else ""
