"""Words of a text and the spans over them: where a text is cut when nobody has cut it, and how character spans become tags."""
import re
from collections.abc import Sequence

from luthier.data.records import Span, Tagged
from luthier.metrics.spans import chunks, iob2

# Letters and digits run together, every other sign stands alone; scripts without spaces are cut into single characters.
UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+|[^\w\s]|_")


def words_of(text: str) -> list[tuple[int, int]]:
    """Start and end of every word; all that is not white space stands in one."""
    return [match.span() for match in WORD.finditer(text)]


def joined(tokens: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Words that came apart as one text, a space between them, and where each stands in it."""
    places, at = [], 0
    for token in tokens:
        places.append((at, at + len(token)))
        at += len(token) + 1
    return " ".join(tokens), places


def tagged(text: str, spans: Sequence[Span]) -> tuple[str, tuple[tuple[int, int], ...], tuple[str, ...]]:
    """The fields of a Tagged record; a word that a span's edge cuts is cut there, so that every span is kept to the character.

    Spans must lie inside the text, hold more than white space and not overlap.
    """
    edges = {edge for span in spans for edge in (span.start, span.end)}
    words: list[tuple[int, int]] = []
    for start, end in words_of(text):
        cuts = sorted({start, end, *(edge for edge in edges if start < edge < end)})
        words += list(zip(cuts[:-1], cuts[1:]))
    found = []
    for span in sorted(spans, key=lambda span: span.start):
        inside = [index for index, (start, end) in enumerate(words) if span.start <= start and end <= span.end]
        found.append((inside[0], inside[-1] + 1, span.label))
    return text, tuple(words), tuple(iob2(found, len(words)))


def spans_of(record: Tagged) -> list[Span]:
    """The spans of a record, in characters."""
    return [Span(record.words[start][0], record.words[end - 1][1], kind) for start, end, kind in chunks(record.tags)]


def types_of(record: Tagged) -> set[str]:
    """The types of a record's spans."""
    return {kind for _, _, kind in chunks(record.tags)}
