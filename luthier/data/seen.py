"""What is remembered of every row while the rows stream by: some 50 bytes each. And what a check reports about them."""
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from luthier.data.columns import ANSWER, INPUT, Batch
from luthier.data.findings import SHOWN, Finding
from luthier.data.split import SPLITS


class Seen:
    """Rows of all splits, in the order in which they were read: train, validation, test."""

    def __init__(self, folder: Path, record: type | None):
        self.folder = folder
        """For what is too large for the memory."""
        self.record = record
        self.file, self.line, self.number, self.split, self.label = array("H"), array("I"), array("I"), array("b"), array("i")
        self.input_parts: list[np.ndarray] = []
        self.answer_parts: list[np.ndarray] = []
        self.size_parts: list[np.ndarray] = []
        self.files: dict[str, int] = {}
        self.labels: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.number)

    def add(self, batch: Batch) -> None:
        for values, one in zip(batch.values, batch.facets):
            origin = values["origin"]
            self.file.append(self.files.setdefault(origin["file"], len(self.files)))
            self.line.append(origin["line"] or 0)
            self.number.append(origin["row"])
            self.label.append(self.labels.setdefault(one.label, len(self.labels)) if one.label is not None else -1)
        self.split.extend([batch.split] * len(batch))
        said = batch.said_SR
        self.input_parts.append(said[INPUT])
        self.answer_parts.append(said[ANSWER])
        self.size_parts.append(np.bincount(batch.words.row_W, minlength=len(batch)).astype(np.uint32))

    @cached_property
    def input_N(self) -> np.ndarray:
        """uint64: what is asked, as a hash of its words; 0 where it has none. To be read when all rows have been seen."""
        return np.concatenate(self.input_parts) if self.input_parts else np.zeros(0, dtype=np.uint64)

    @cached_property
    def answer_N(self) -> np.ndarray:
        """uint64: what is learned, likewise."""
        return np.concatenate(self.answer_parts) if self.answer_parts else np.zeros(0, dtype=np.uint64)

    @cached_property
    def words_N(self) -> np.ndarray:
        """uint32: words of each row."""
        return np.concatenate(self.size_parts) if self.size_parts else np.zeros(0, dtype=np.uint32)

    @cached_property
    def split_N(self) -> np.ndarray:
        return np.frombuffer(self.split, dtype=np.int8)

    @cached_property
    def label_N(self) -> np.ndarray:
        """int32: index into `label_names`; -1 = none."""
        return np.frombuffer(self.label, dtype=np.int32)

    @cached_property
    def label_names(self) -> list[str]:
        return list(self.labels)

    @cached_property
    def file_names(self) -> list[str]:
        return list(self.files)

    def where(self, row: int) -> str:
        """A row as a sentence names it: `tickets.csv:14`."""
        name, line = self.file_names[self.file[row]], self.line[row]
        return f"{name}:{line}" if line else f"{name} row {self.number[row]}"

    def counted(self, rows_N: np.ndarray) -> str:
        """How many of these rows stand in which split, in words."""
        return ", ".join(f"{count:,} in {name}" for at, name in enumerate(SPLITS) if (count := int((self.split_N[rows_N] == at).sum())))


@dataclass
class Found:
    """What a check reports: the rows (places among all rows seen), a sentence, and what could be done."""

    code: str
    level: str
    message: str
    rows_N: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    hint: str = ""
    count: int | None = None
    """Where it counts something else than rows."""
    fix: str = ""
    """The name of the fix that puts it right."""
    why: dict[int, str] = field(default_factory=dict)
    """Row -> what is wrong with this one."""
    instead: dict[int, str] = field(default_factory=dict)
    """Row -> the label that is probably meant."""
    groups: list[list[int]] = field(default_factory=list)
    """Rows that belong together."""
    field: str | None = None
    """The column or part that it is about."""

    def finding(self, seen: Seen) -> Finding:
        """The finding with its place: the first row's file and line, the first 20 record numbers, the count."""
        rows = [int(row) for row in self.rows_N]
        count = len(rows) if self.count is None and rows else self.count
        place = {"file": seen.file_names[seen.file[rows[0]]], "line": seen.line[rows[0]] or None, "rows": [seen.number[row] for row in rows[:SHOWN]]} if rows else {}
        return Finding(self.code, self.level, self.message, **place, field=self.field, count=count, hint=self.hint)


class StreamCheck(Protocol):
    """A check that sees all rows, batch by batch, and then reports. What it keeps does not grow with the file but by a few bytes a row."""

    def see(self, batch: Batch) -> None: ...

    def report(self, seen: Seen) -> Iterator[Found]: ...


MOST_ROWS = 0.5
"""A defect of more rows than this is one of the file: what a model would learn."""


def level_of(found: np.ndarray, seen: Seen) -> str:
    """`error` where most rows have a defect, else `warning`."""
    return "error" if len(found) > MOST_ROWS * len(seen) else "warning"


def rows(numbers) -> np.ndarray:
    """Places of rows as `Found` takes them: sorted, each once."""
    return np.unique(np.asarray(list(numbers) if not isinstance(numbers, np.ndarray) else numbers, dtype=np.int64))


def plural(count: int, one: str = "row", many: str = "") -> str:
    """`1 row`, `1,200 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
