"""What is remembered of every row while the rows themselves stay on disk: a few numbers each, about 50 bytes."""
import struct
from dataclasses import dataclass, field

import numpy as np

from luthier.data.findings import SHOWN
from luthier.data.split import SPLITS

COLUMNS = {"identity": "Q", "content": "Q", "group": "Q", "id": "Q", "label": "i", "characters": "I", "answer": "I", "size": "I", "number": "I", "line": "I", "file": "I"}
ENTRY = struct.Struct("=" + "".join(COLUMNS.values()))
KINDS = np.dtype([(name, {"Q": "u8", "I": "u4", "i": "i4"}[code]) for name, code in COLUMNS.items()])


class Rows:
    """The table while it grows: one packed entry per row, in the order of COLUMNS."""

    def __init__(self):
        self.entries = bytearray()

    def add(self, *values: int) -> None:
        self.entries += ENTRY.pack(*values)

    def freeze(self) -> dict[str, np.ndarray]:
        """The columns as arrays over the same memory."""
        table = np.frombuffer(self.entries, dtype=KINDS)
        return {name: table[name] for name in COLUMNS}


@dataclass
class Table:
    """One entry per usable row, in the order in which they were read."""

    identity: np.ndarray
    """uint64: hash of the normalised input."""
    content: np.ndarray
    """uint64: hash of the whole record."""
    group: np.ndarray
    """uint64: hash of the group; 0 = none."""
    id: np.ndarray
    """uint64: hash of the row's own id column; 0 = none."""
    label: np.ndarray
    """int32: index into `labels`; -1 = none."""
    characters: np.ndarray
    """uint32: characters of the record in all."""
    answer: np.ndarray
    """uint32: characters of what is to be learned, where the record tells."""
    size: np.ndarray
    """uint32: bytes of its line on disk."""
    number: np.ndarray
    """uint32: 1-based record number in its file."""
    line: np.ndarray
    """uint32: 1-based line; 0 = the format has none."""
    file: np.ndarray
    """uint32: index into `files`."""
    side: np.ndarray
    """int8: 0 train, 1 validation, 2 test, 3 left out."""
    labels: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    given: frozenset[str] = frozenset()
    """Splits that have a file of their own."""
    wanted: dict[str, float] = field(default_factory=dict)
    """Split -> share asked for."""
    min_test_rows: int = 100

    def __len__(self) -> int:
        return len(self.side)

    def count(self, split: str) -> int:
        return int((self.side == SPLITS.index(split)).sum())

    def place(self, index_N: np.ndarray) -> dict:
        """The fields of a finding about these rows: file and line of the first, the first 20 numbers, the count."""
        first = int(index_N[0]) if len(index_N) else None
        return {
            "file": self.files[self.file[first]] if first is not None else None,
            "line": int(self.line[first]) or None if first is not None else None,
            "rows": [int(number) for number in self.number[index_N[:SHOWN]]],
            "count": len(index_N),
        }

    def where(self, index: int) -> str:
        """A row as a sentence names it."""
        line = int(self.line[index])
        return f"{self.files[self.file[index]]}:{line}" if line else f"{self.files[self.file[index]]} row {int(self.number[index])}"
