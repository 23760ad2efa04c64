"""Documents cut into passages that know where they came from: file, line, and the characters of the document they are."""
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+|\n+")
HEADING = re.compile(r"#{1,6}\s+\S")


@dataclass(frozen=True)
class Document:
    """A text with its place."""

    text: str
    file: str
    """As the user named it."""
    line: int | None = None
    """1-based, where it begins."""
    origin: object | None = None
    """The record it was made from, where it was."""


@dataclass(frozen=True)
class Passage:
    """A stretch of a document."""

    text: str
    file: str
    line: int | None
    """1-based line of the file on which it begins; None where the format has no lines."""
    start: int
    """First character in the document, 0-based."""
    end: int
    """One behind the last character."""
    origin: object | None = None
    """As of its document."""

    @property
    def place(self) -> str:
        """file:line, as a person would write it."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Hit:
    """A passage found: its number, and a score that is larger the better it fits."""

    number: int
    score: float


def cut(document: Document, *, words: int, overlap: int = 0) -> list[Passage]:
    """Passages of at most `words` words. Cuts fall between sentences; a sentence longer than that is cut between words.

    A Markdown heading begins a passage. `overlap` repeats whole sentences of the passage before, at most so many words.
    """
    passages: list[Passage] = []
    held: list[tuple[int, int]] = []
    for start, end in pieces(document.text, words):
        begins = HEADING.match(document.text, start) is not None
        if held and (begins or count(document.text, held) + length(document.text, (start, end)) > words):
            passages.append(passage(document, held))
            held = [] if begins else tail(document.text, held, min(overlap, words - length(document.text, (start, end))))
        held.append((start, end))
    return passages + ([passage(document, held)] if held else [])


def pieces(text: str, words: int) -> Iterator[tuple[int, int]]:
    """Sentences as (start, end) without the space around; those longer than `words` words in parts."""
    at = 0
    for match in [*SENTENCE_END.finditer(text), None]:
        end = match.start() if match else len(text)
        found = list(re.finditer(r"\S+", text[at:end]))
        for first in range(0, len(found), words):
            part = found[first : first + words]
            yield at + part[0].start(), at + part[-1].end()
        at = match.end() if match else end


def length(text: str, piece: tuple[int, int]) -> int:
    return len(text[piece[0] : piece[1]].split())


def count(text: str, held: Sequence[tuple[int, int]]) -> int:
    return sum(length(text, piece) for piece in held)


def tail(text: str, held: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The last pieces that together have at most so many words; never all of them."""
    kept: list[tuple[int, int]] = []
    for piece in reversed(held[1:]):
        if count(text, kept) + length(text, piece) > most:
            break
        kept.insert(0, piece)
    return kept


def passage(document: Document, held: Sequence[tuple[int, int]]) -> Passage:
    start, end = held[0][0], held[-1][1]
    line = None if document.line is None else document.line + document.text.count("\n", 0, start)
    return Passage(document.text[start:end], document.file, line, start, end, document.origin)
