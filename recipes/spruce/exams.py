"""Every text that may later serve as an exam: what spruce must never have read.

Each set is a folder of the test data; its JSON strings, table cells or lines are the texts. Over-wide on purpose: field names and
instructions count as exam text too.
"""

import csv
import gzip
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from luthier.data.samples.overlap import Grams, exact

SETS = {
    "classification": "banking77, SMS spam, movie reviews",
    "instruct": "self-instruct, LLMs-from-scratch, tool calls, identity, code, schema-guided dialogues (dev)",
    "math": "GSM8K",
    "rag_qa": "XQuAD, MedQuAD",
    "text/karpathy__char-rnn": "Tiny Shakespeare",
    "text/karpathy__makemore": "names",
    "text/pytorch__examples": "WikiText-2",
    "forgetting_eval": "MMLU, OpenBookQA, LAMBADA",
    "summarisation": "ToS;DR, QMSum",
    "translation": "English side",
    "token_classification": "WNUT-17, UD English EWT, Presidio",
    "preference": "hh-rlhf, LLMs-from-scratch pairs",
    "bias": "BBQ, CrowS-Pairs, Winogender",
}
MIN_WORDS = 4
LONG = 2000  # characters; a longer text cannot equal a document, its 13-grams are compared
NOT_TEXT = ("README", "LICENSE", "tgt-", "SOURCES")
DIALOGUES = "schema-guided-dialogue/dev/dialogues"


@dataclass(frozen=True)
class Exams:
    """All exam text in comparable form."""

    grams: Grams
    """Hashes further texts so that they compare with `hashes`."""
    hashes: np.ndarray
    """Every 13-gram, uint64, sorted."""
    rows: set[str]
    """Every row of at least MIN_WORDS words, case, spacing and punctuation apart; shorter ones ('yes, please') belong to nobody."""

    def share(self, hashes: np.ndarray) -> np.ndarray:
        """Which of the hashes are an exam's: bool, one each."""
        if not len(self.hashes):
            return np.zeros(len(hashes), dtype=bool)
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return self.hashes[at] == hashes


def load(folder: Path) -> Exams:
    """Every text of every set below the test-data folder."""
    grams, hashes, rows = Grams(), [], set()
    for name in SETS:
        texts = list(texts_of(folder / name))
        hashes.append(np.unique(grams.of(texts)[0]))
        rows |= {row for text in texts if len(text) < LONG and (row := exact(text)).count(" ") + 1 >= MIN_WORDS}
    return Exams(grams, np.unique(np.concatenate(hashes)), rows)


def texts_of(folder: Path) -> Iterator[str]:
    """Every text of one set."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(NOT_TEXT)):
        if DIALOGUES in str(path):
            yield from _dialogues(path)
        else:
            yield from READERS.get(path.suffix, _whole)(path)


def _strings(value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _dialogues(path: Path) -> Iterator[str]:
    """A whole dialogue is one text, so that grams across turns count."""
    for dialogue in json.loads(path.read_text()):
        yield "\n".join(turn["utterance"] for turn in dialogue["turns"])


def _json(path: Path) -> Iterator[str]:
    yield from _strings(json.loads(path.read_text()))


def _jsonl(path: Path) -> Iterator[str]:
    for line in path.read_text().split("\n"):
        if line.strip():
            yield from _strings(json.loads(line))


def _gz(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield from _strings(json.loads(line))


def _csv(path: Path) -> Iterator[str]:
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            yield from row


def _tsv(path: Path) -> Iterator[str]:
    for line in path.read_text().split("\n"):
        yield from line.split("\t")


def _conll(path: Path) -> Iterator[str]:
    """The word column in running text: the 1st of a WNUT row, the 2nd of a CoNLL-U row, where the 1st is a number."""
    rows = [line.split("\t") for line in path.read_text().split("\n") if line.strip() and not line.startswith("#")]
    yield " ".join(row[1] if path.suffix == ".conllu" and len(row) > 1 else row[0] for row in rows)
    yield from (line.partition("text = ")[2] for line in path.read_text().split("\n") if line.startswith("# text"))


def _zip(path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".txt"):
                yield archive.read(name).decode("utf-8", "replace")


def _whole(path: Path) -> Iterator[str]:
    """Running text: whole, for the grams that cross lines, and line by line, for lines that stand alone."""
    text = path.read_text(encoding="utf-8", errors="replace")
    yield text
    yield from (line for line in text.split("\n") if line.strip())


READERS = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".gz": _gz,
    ".csv": _csv,
    ".tsv": _tsv,
    ".conll": _conll,
    ".conllu": _conll,
    ".annotated": _conll,
    ".zip": _zip,
}
