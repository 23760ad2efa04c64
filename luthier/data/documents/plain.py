"""Plain text: paragraphs are what blank lines separate."""
from collections.abc import Iterator
from pathlib import Path

from luthier.data.documents.block import Block
from luthier.errors import DataError


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, line ends as LF. Raises DataError D101 with the byte."""
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"byte 0x{error.object[error.start]:02X} is not UTF-8", code="D101", file=str(path), byte_offset=error.start, hint="save the file as UTF-8") from None


def read(path: Path) -> Iterator[Block]:
    held: list[str] = []
    number, first = 0, 1
    for at, line in enumerate([*text_of(path).split("\n"), ""], 1):
        if line.strip():
            first = first if held else at
            held.append(line.rstrip())
        elif held:
            number += 1
            yield Block("\n".join(held), paragraph=number, line=first)
            held = []
