"""JSONL: one JSON object on each line."""
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.sources.lines import Line, open_bytes, read_lines
from luthier.data.sources.rows import Place, Row
from luthier.data.sources.strict_json import Fault, find_fault, parse


def read(path: Path, place: Place, max_line_bytes: int) -> Iterator[Row | Finding]:
    """Rows in the order of the file; a Finding stands in for each line that is not one. Blank lines are no rows."""
    with open_bytes(path) as stream:
        held, lines = _first_two(read_lines(stream, place, max_line_bytes))
        if found := _pretty_printed(held, place):
            yield found
            return
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
                yield fault_finding(fault, line, place, number)
                continue
            if type(value) is dict:
                yield Row(value, line.number, line.byte_offset, number, place.file)
            else:
                yield not_an_object(value, text, place, line.number, line.byte_offset, number)


def _first_two(lines: Iterator[Line | Finding]) -> tuple[list[Line], Iterator[Line | Finding]]:
    """The first two lines with something on them, and all lines with these again."""
    held: list[Line | Finding] = []
    filled: list[Line] = []
    for line in lines:
        held.append(line)
        if type(line) is Line and line.text.strip():
            filled.append(line)
        if len(filled) == 2 or type(line) is Finding or len(held) > 100:
            break
    return filled, chain(held, lines)


def _pretty_printed(first_two: list[Line], place: Place) -> Finding | None:
    """A finding where the first row goes on over the lines below it."""
    if len(first_two) < 2 or first_two[1].text.lstrip().startswith("{"):
        return None
    line = first_two[0]
    fault = find_fault(line.text)
    if fault is None or not fault.ended:
        return None
    return place.stop(
        "D100", "the first row goes on over several lines: this looks like pretty-printed JSON", "put each row on one line, for example: jq -c . IN > OUT",
        line=line.number, column=len(line.text) + 1, byte_offset=line.byte_offset + len(line.text.encode()),
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
