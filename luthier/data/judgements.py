"""What is remembered of every judgement of people while rows are read: hashes and lengths, about 50 bytes each, for checks over the whole set."""
from array import array

import numpy as np

from luthier.data.findings import SHOWN
from luthier.data.records import Asked, Origin, Preference, Rated
from luthier.data.split import hash_of


class Judgements:
    """Pairs, ratings and prompts seen so far, one entry each: `asked` is the hash of what is asked."""

    def __init__(self):
        self.asked, self.first, self.second = array("Q"), array("Q"), array("Q")
        self.lengths, self.signs = array("q"), array("b")
        self.numbers, self.lines = array("q"), array("q")
        self.files: list[str] = []

    def see(self, record: Asked, asked: int) -> None:
        """Note a record. `first` and `second` are its answers' hashes; a rating's sign is 1 for good and -1 for bad, a pair's 0."""
        if type(record) is Preference:
            first, second, length, sign = hash_of(record.chosen), hash_of(record.rejected), len(record.chosen) - len(record.rejected), 0
        elif type(record) is Rated:
            first, second, length, sign = hash_of(record.answer), 0, len(record.answer), 1 if record.good else -1
        else:
            first, second, length, sign = 0, 0, 0, 0
        origin = record.origin or Origin("", None, len(self.asked) + 1)
        for column, value in ((self.asked, asked), (self.first, first), (self.second, second), (self.lengths, length), (self.signs, sign), (self.numbers, origin.row), (self.lines, origin.line or 0)):
            column.append(value)
        if len(self.files) < 1:
            self.files.append(origin.file)

    def __len__(self) -> int:
        return len(self.asked)

    def column(self, name: str) -> np.ndarray:
        """One of the columns [N]."""
        values = getattr(self, name)
        return np.frombuffer(values, dtype={"Q": np.uint64, "q": np.int64, "b": np.int8}[values.typecode])

    def place(self, index_N: np.ndarray) -> dict:
        """The fields of a finding about these rows."""
        numbers, lines = self.column("numbers"), self.column("lines")
        return {"file": self.files[0], "line": int(lines[index_N[0]]) or None, "rows": [int(number) for number in numbers[index_N[:SHOWN]]], "count": len(index_N)}
