"""JSONL: one JSON object on each line."""
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.sources.lines import Line, open_bytes, read_lines
from luthier.data.sources.rows import Place, Row
from luthier.data.sources.strict_json import Fault, parse


def read(path: Path, place: Place, max_line_bytes: int) -> Iterator[Row | Finding]:
    """Rows in the order of the file; a Finding stands in for each line that is not one. Blank lines are no rows."""
    with open_bytes(path) as stream:
        lines = read_lines(stream, place, max_line_bytes)
        number = 0
        for line in lines:
            if type(line) is Finding:
                number += not line.fatal
                line.rows = None if line.fatal else [number]
                yield line
                continue
            text = line.text
            if not text or not text.strip(" \t\r"):
                continue
            number += 1
            try:
                value = parse(text)
            except Fault as fault:
                if number == 1 and fault.ended:
                    following = list(_next_filled(lines))
                    if following and _goes_on(following[0]):
                        yield pretty_printed(line, place)
                        return
                    lines = chain(following, lines)
                yield fault_finding(fault, line, place, number)
                continue
            if type(value) is dict:
                yield Row(value, line.number, line.byte_offset, number, place.file)
            else:
                yield not_an_object(value, text, place, line.number, line.byte_offset, number)


def _next_filled(lines: Iterator) -> Iterator:
    """The next line that is not blank, if there is one."""
    for line in lines:
        if type(line) is Finding or line.text.strip():
            yield line
            return


def _goes_on(line: Line | Finding) -> bool:
    """Whether a line cannot begin a row, so that the one before it goes on here."""
    return type(line) is Line and not line.text.lstrip().startswith("{")


def pretty_printed(line: Line, place: Place) -> Finding:
    column = len(line.text) + 1
    return place.stop(
        "D100", "the first row goes on over several lines: this looks like pretty-printed JSON", "put each row on one line, for example: jq -c . IN > OUT",
        line=line.number, column=column, byte_offset=line.byte_offset + len(line.text.encode()),
    )


def fault_finding(fault: Fault, line: Line, place: Place, number: int) -> Finding:
    """The finding for a line that is not JSON."""
    return Finding(
        fault.code, "error", str(fault), file=place.file, line=line.number, column=fault.position + 1,
        byte_offset=line.byte_offset + len(line.text[: fault.position].encode(errors="surrogatepass")), rows=[number], hint=fault.hint, raw=line.text,
    )


def not_an_object(value, raw: str, place: Place, line: int, byte_offset: int, number: int, column: int = 1) -> Finding:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    column += len(raw) - len(raw.lstrip())
    return Finding(
        "D103", "error", f"a row is an object of named fields, and this is {names.get(type(value), 'a number')}", file=place.file, line=line,
        column=column, byte_offset=byte_offset + len(raw) - len(raw.lstrip()), rows=[number], hint='write it as {"name": value, ...}', raw=raw,
    )
