"""Documents to training rows: sections of text, or pairs of question and answer; every row says file, page and paragraph."""
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from luthier.data import documents
from luthier.data.documents.block import Block

QUESTION = re.compile(r"^(?:\*\*|__)?(?:Q(?:uestion)?\s*\d*\s*[:.)]\s*)?(.{6,300}\?)(?:\*\*|__)?$", re.I)
ANSWER = re.compile(r"^(?:\*\*|__)?A(?:nswer)?\s*\d*\s*[:.)]\s*", re.I)
BOTH = re.compile(r"^(?:\*\*)?Q(?:uestion)?\s*\d*\s*[:.)]\s*(.+?)\n+(?:\*\*)?A(?:nswer)?\s*\d*\s*[:.)]\s*(.+)$", re.I | re.S)
SHORTEST = 20


def texts(paths: Iterable[Path], *, longest: int = 4000) -> Iterator[dict]:
    """One row per section: `{text, heading, file, page, paragraph, line}`; sections longer than `longest` characters are cut between blocks."""
    for path in documents.files(list(paths)):
        for headings, group in groupby(documents.blocks(path), key=lambda block: block.headings):
            yield from cut(path, headings, list(group), longest)


def cut(path: Path, headings: tuple[str, ...], blocks: list[Block], longest: int) -> Iterator[dict]:
    held: list[Block] = []
    for block in [*blocks, None]:
        size = sum(len(one.text) + 2 for one in held)
        if held and (block is None or size + len(block.text) > longest):
            title = [] if path.suffix.lower() in documents.code.SUFFIXES else [headings[-1]] if headings else []
            yield {"text": "\n\n".join([*title, *(one.text for one in held)]), "heading": " / ".join(headings) or None, **place(path, held[0])}
            held = []
        if block is not None:
            held.append(block)


def pairs(paths: Iterable[Path]) -> Iterator[dict]:
    """Questions that the text itself answers, and headings with their section: `{question, answer, kind, heading, file, page, paragraph, line}`."""
    for path in documents.files(list(paths)):
        for headings, group in groupby(documents.blocks(path), key=lambda block: block.headings):
            yield from pairs_of(path, headings, list(group))


def pairs_of(path: Path, headings: tuple[str, ...], blocks: list[Block]) -> Iterator[dict]:
    asked: tuple[str, Block] | None = None
    answer: list[str] = []
    rest: list[Block] = []

    def told() -> Iterator[dict]:
        if asked and "\n\n".join(answer).strip():
            yield {"question": asked[0], "answer": "\n\n".join(answer).strip(), "kind": "question and answer", "heading": " / ".join(headings) or None, **place(path, asked[1])}

    for block in blocks:
        if match := BOTH.match(block.text):
            yield {"question": match[1].strip(), "answer": match[2].strip(), "kind": "question and answer", "heading": " / ".join(headings) or None, **place(path, block)}
        elif match := QUESTION.match(block.text.strip()):
            yield from told()
            asked, answer = (match[1].strip(), block), []
        elif asked:
            answer.append(ANSWER.sub("", block.text))
        else:
            rest.append(block)
    yield from told()
    if headings and sum(len(block.text) for block in rest) >= SHORTEST:
        yield {"question": headings[-1], "answer": "\n\n".join(block.text for block in rest), "kind": "heading and section", "heading": " / ".join(headings), **place(path, rest[0])}


def place(path: Path, block: Block) -> dict:
    return {"file": str(path), "page": block.page, "paragraph": block.paragraph, "line": block.line}
