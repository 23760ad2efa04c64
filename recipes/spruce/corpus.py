"""Builds spruce's pretraining text: dialogues in spruce's chat format and plain text in pieces, with every exam kept out.

    python -m recipes.spruce.corpus FOLDER        reads $LUTHIER_TEST_DATA, writes FOLDER/{train,validation,test}.jsonl and corpus.json

A row is {"text", "source"}. The text holds neither the opening `<|begin|>` nor the closing `<|end|>`: whoever trains frames every row
with these two, and a dialogue so framed is exactly what the chat template renders. No row comes from the shipped samples.
"""

import argparse
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from luthier.data.samples.overlap import exact
from recipes.spruce import exams, notes

PIECE = 1250  # characters of prose: about 370 tokens, so that a row fits the context of 512
TALK = 1500  # characters of dialogue, which takes fewer tokens
STRAIGHT = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "\ufeff": None, "\u200b": None, "…": "..."})
DATA = "../shared/data"


@dataclass(frozen=True)
class Document:
    """One row of the corpus; `turns` are kept to compare single turns with exam rows."""

    text: str
    source: str
    turns: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Straight quotes, single spaces, no emphasis marks."""
    return re.sub(r"[ \t\r\f]+", " ", text.translate(STRAIGHT).replace("_", "")).strip()


def pieces(paragraphs: list[str], limit: int = PIECE) -> Iterator[str]:
    """Consecutive paragraphs joined up to a limit of characters; a longer paragraph is cut between sentences."""
    held, size = [], 0
    for paragraph in paragraphs:
        parts = [paragraph] if len(paragraph) <= limit else re.findall(rf".{{1,{limit}}}(?:[.!?;]['\")]*\s+|$)|.{{1,{limit}}}", paragraph)
        for part in parts:
            if held and size + len(part) > limit:
                yield "\n".join(held)
                held, size = [], 0
            held.append(part.strip())
            size += len(part)
    if held:
        yield "\n".join(held)


def book(path: Path, source: str) -> Iterator[Document]:
    """Hard-wrapped lines joined into paragraphs; headings and ornaments (no full stop, few letters) stay out."""
    paragraphs = [clean(block.replace("\n", " ")) for block in re.split(r"\n\s*\n", path.read_text().translate(STRAIGHT))]
    kept = [p for p in paragraphs if len(p) > 20 and sum(c.islower() for c in p) > len(p) / 2]
    yield from (Document(piece, source) for piece in pieces(kept))


def encyclopedia(path: Path, source: str) -> Iterator[Document]:
    """One article a line, its lost paragraph breaks ('socialism.Humans') put back; no piece spans two articles."""
    for article in path.read_text().split("\n"):
        paragraphs = [clean(p) for p in re.split(r"(?<=[a-z)\]][.!?])(?=[A-Z])", article)]
        yield from (Document(piece, source) for piece in pieces([p for p in paragraphs if len(p) > 20]))


def stories(path: Path, source: str) -> Iterator[Document]:
    """One story a document, paragraphs kept; stories with broken characters stay out."""
    for story in path.read_text().split("<|endoftext|>"):
        paragraphs = [clean(line) for line in story.split("\n") if line.strip()]
        if paragraphs and "â" not in story and "\ufffd" not in story:
            yield from (Document(piece, source) for piece in pieces(paragraphs))


def dialogues(path: Path, source: str) -> Iterator[Document]:
    """User and assistant turns in spruce's chat format, a long dialogue cut before a user turn; every fourth opens with a system turn."""
    for number, line in enumerate(path.read_text().splitlines()):
        row = json.loads(line)
        turns = [clean(turn) for turn in row["turns"]]
        turns = turns[: len(turns) // 2 * 2]
        subjects = sorted({re.sub(r"(?<!^)(?=[A-Z])", " ", name.split("_")[0]).lower() for name in row.get("services", ["Coffee"])})
        for start, stop in windows(turns):
            opening = f"<|system|>You help with {' and '.join(subjects)}.<|end|>" if number % 4 == 0 else ""
            yield Document(opening + chat(turns[start:stop]), source, tuple(turns[start:stop]))


def windows(turns: list[str], limit: int = TALK) -> Iterator[tuple[int, int]]:
    """Runs of whole exchanges (user, assistant) that stay below a limit of characters."""
    start, size = 0, 0
    for i in range(0, len(turns), 2):
        length = len(turns[i]) + len(turns[i + 1]) + 40
        if i > start and size + length > limit:
            yield start, i
            start, size = i, 0
        size += length
    if turns:
        yield start, len(turns)


def chat(turns: list[str]) -> str:
    """The turns as the chat template writes them, without the opening `<|begin|>` and the last `<|end|>`."""
    roles = ("<|user|>", "<|assistant|>")
    return "<|end|>".join(roles[i % 2] + turn for i, turn in enumerate(turns))


PRETRAINING = "text/pretraining"
SOURCES = {
    "service_dialogues": (dialogues, f"{PRETRAINING}/service_dialogues.jsonl"),
    "taskmaster4_dialogues": (dialogues, f"{PRETRAINING}/taskmaster4_dialogues.jsonl"),
    "wikipedia": (encyclopedia, f"{PRETRAINING}/wiki_demo.txt"),
    "bronte": (book, f"{PRETRAINING}/bronte.txt"),
    "dubois": (book, f"{PRETRAINING}/dubois.txt"),
    "tinystories": (stories, "text/mines-opt-ml__decoding-gpt/data/tinystories_10k.txt"),
}


def read(folder: Path) -> Iterator[Document]:
    """Every document of every source, in order, before anything is left out."""
    for source, (reader, path) in SOURCES.items():
        yield from reader(folder / path, source)


def left_out(documents: list[Document], held: exams.Exams) -> np.ndarray:
    """Why each document is left out: an array of reasons, "" where it stays."""
    reasons = np.full(len(documents), "", dtype=object)
    hashes, owner = held.grams.of(document.text for document in documents)
    reasons[owner[held.share(hashes)]] = "shares 13 words with an exam"
    seen = set()
    for i, document in enumerate(documents):
        whole = exact(document.text)
        if not reasons[i] and any(unit in held.rows for unit in (whole, *map(exact, document.turns))):
            reasons[i] = "is a row of an exam"
        elif not reasons[i] and whole in seen:
            reasons[i] = "repeats a document"
        seen.add(whole)
    return reasons


def side(text: str) -> str:
    """Where a document goes, by the hash of its words: 1 % validation, 1 % test."""
    number = int.from_bytes(hashlib.sha256(exact(text).encode()).digest()[:8], "big") % 100
    return {0: "validation", 1: "test"}.get(number, "train")


def build(folder: Path, data: Path, note_rows: int = 0) -> dict:
    """Write the corpus and `corpus.json`: per source, the documents and characters kept, and what was left out and why."""
    documents = list(read(data))
    if note_rows:
        words = notes.count(document.text for document in documents)
        documents += [Document(chat(turns), "notes", tuple(turns)) for turns in notes.exchanges(words, note_rows)]
    reasons = left_out(documents, exams.load(data))
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: open(folder / f"{name}.jsonl", "w", encoding="utf-8") for name in ("train", "validation", "test")}
    counts = {document.source: Counter() for document in documents}
    for document, reason in zip(documents, reasons, strict=True):
        tally = counts[document.source]
        if reason:
            tally["left out: " + reason] += 1
            continue
        split = side(document.text)
        row = {key: value for key, value in asdict(document).items() if key != "turns"}
        files[split].write(json.dumps(row, ensure_ascii=False) + "\n")
        tally[f"{split} documents"] += 1
        tally[f"{split} characters"] += len(document.text)
    for file in files.values():
        file.close()
    summary = {"sources": {source: dict(sorted(tally.items())) for source, tally in counts.items()}, "exams": exams.SETS}
    (folder / "corpus.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LUTHIER_TEST_DATA", DATA)))
    parser.add_argument("--notes", type=int, default=0, help="conversations of the project's own writing to add (recipes/spruce/notes.py)")
    arguments = parser.parse_args()
    print(json.dumps(build(arguments.folder, arguments.data, arguments.notes), indent=2))
