"""Prepared examples on disk, memory-mapped: made once, read at any index without loading the rest.

A folder with one flat little-endian file per column, so that nothing in it needs more than `numpy.memmap` to be read:
`tokens.i32`, `weights.f32` (all examples one after the other), `targets.i32` (the same, or empty where no example has them), `values.f32` (as
many for each example), `offsets.i64` (N + 1), `labels.i32` (-1 = none), `cuts.i32`, `learned.i32`, `sources.i32`, `seconds.i32`, `shares.f32`, `records.i64` (N
each), `store.json` (counts and the key), `manifest.json` (SHA-256 of each).
"""
import contextlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from luthier.errors import CheckpointError, DiskError
from luthier.files import disk_faults, read_json, staged_folder, verify, write_json
from luthier.preparation.examples import Example, check

COLUMNS = {
    "tokens": "i4", "weights": "f4", "targets": "i4", "values": "f4", "offsets": "i8", "labels": "i4", "cuts": "i4", "learned": "i4", "sources": "i4",
    "seconds": "i4", "shares": "f4", "records": "i8",
}
FILES = {name: f"{name}.{kind[0]}{8 * int(kind[1])}" for name, kind in COLUMNS.items()}
COUNTED_BY = {"tokens": "tokens", "weights": "tokens", "targets": "targets", "values": "values"}
"""Which count of store.json says how long a column is, where that is not the number of examples."""
FORMAT = 4


class TokenStore:
    """Examples by index. `lengths`, `learned`, `cuts`, `labels` (-1: none), `values` (None where there are none) and `records` (index of the record in its split) are per example; `facts` is what the builder noted."""

    def __init__(self, folder: Path):
        """Open a store. A folder without one, or with files of a wrong size, is a DiskError that names it."""
        self.folder = Path(folder)
        self.facts = read_json(self.folder / "store.json")
        columns = {name: self._column(name) for name in COLUMNS}
        self._tokens, self._weights, self._offsets = columns["tokens"], columns["weights"], columns["offsets"]
        self._targets, self._values = columns["targets"], columns["values"].reshape(self.facts["examples"], -1) if self.facts["values"] else None
        self._sources, self._seconds, self._shares = columns["sources"], columns["seconds"], columns["shares"]
        self.labels, self.cuts, self.learned = columns["labels"], columns["cuts"], columns["learned"]
        self.records = columns["records"]
        self.lengths = np.diff(self._offsets).astype(np.int64)

    def _column(self, name: str) -> np.ndarray:
        path, kind = self.folder / FILES[name], np.dtype("<" + COLUMNS[name])
        rows = self.facts[COUNTED_BY.get(name, "examples")] + (name == "offsets")
        if not path.exists() or path.stat().st_size != rows * kind.itemsize:
            raise DiskError(f"the token store {self.folder} is damaged: {path.name} is not {rows:,} values long", code="F104", file=str(path), hint="remove that folder; it is made again")
        return np.memmap(path, dtype=kind, mode="r", shape=(rows,)) if rows else np.zeros(0, dtype=kind)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Example:
        index = range(len(self))[index]
        start, end = int(self._offsets[index]), int(self._offsets[index + 1])
        label = int(self.labels[index])
        return Example(
            self._tokens[start:end], self._weights[start:end], None if label < 0 else label, int(self.cuts[index]), int(self.records[index]),
            targets=self._targets[start:end] if len(self._targets) else None, values=None if self._values is None else self._values[index],
            source=int(self._sources[index]), share=float(self._shares[index]), second=int(self._seconds[index]),
        )

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))

    @property
    def key(self) -> str:
        """What this store was made from, as one hash."""
        return self.facts["key"]

    @property
    def tokens(self) -> int:
        """Tokens in all examples."""
        return self.facts["tokens"]

    @property
    def tokens_learned(self) -> int:
        """Tokens that count in the loss."""
        return self.facts["learned"]

    @property
    def values(self) -> np.ndarray | None:
        """The numbers to predict [N, K], None where examples have none."""
        return self._values

    @property
    def tokens_cut(self) -> int:
        """Tokens of the used records that did not fit."""
        return self.facts["cut"]

    @staticmethod
    def build(folder: Path, examples: Iterable[Example], key: str = "", facts: Callable[[], dict] = dict) -> "TokenStore":
        """Write a store from a stream, durably and all at once: a kill leaves the older store or none, never half of one.

        `facts()` is asked after the last example; what it returns is kept as `store.facts["facts"]`. Memory: about 36 bytes an example.
        """
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(folder) as staging, disk_faults(folder):
            counts = _write_columns(staging, examples)
            write_json(staging / "store.json", {"format": FORMAT, "key": key, **counts, "facts": facts()})
        return TokenStore(folder)

    @staticmethod
    def cached(folder: Path, key: str) -> "TokenStore | None":
        """The store in a folder if it was made from exactly what `key` names and is whole, byte for byte; else None."""
        folder = Path(folder)
        if not (folder / "store.json").exists():
            return None
        try:
            verify(folder)
            store = TokenStore(folder)
        except (CheckpointError, DiskError):
            return None
        return store if store.key == key and store.facts["format"] == FORMAT else None


def _write_columns(folder: Path, examples: Iterable[Example]) -> dict:
    """Stream examples into the column files; returns the counts."""
    small = {"offsets": array("q", [0]), "labels": array("i"), "cuts": array("i"), "learned": array("i"), "sources": array("i"), "seconds": array("i"), "shares": array("f"), "records": array("q")}
    counts = {"tokens": 0, "targets": 0, "values": 0}
    with contextlib.ExitStack() as stack:
        streams = {name: stack.enter_context(open(folder / FILES[name], "wb")) for name in COUNTED_BY}
        for number, item in enumerate(examples, 1):
            check(item)
            for name in COUNTED_BY:
                column = getattr(item, name)
                if column is not None:
                    streams[name].write(np.ascontiguousarray(column, dtype="<" + COLUMNS[name]).tobytes())
                    if name in counts:
                        counts[name] += len(column)
            if counts["targets"] not in (0, counts["tokens"]) or (number > 1 and (counts["values"] > 0) != (item.values is not None)):
                raise ValueError("either every example has targets (values), or none has")
            row = {"offsets": counts["tokens"], "labels": -1 if item.label is None else item.label, "cuts": item.cut, "learned": item.learned, "sources": item.source, "seconds": item.second, "shares": item.share, "records": item.record}
            for name, value in row.items():
                small[name].append(value)
    for name, values in small.items():
        np.asarray(values, dtype="<" + COLUMNS[name]).tofile(folder / FILES[name])
    return {"examples": len(small["learned"]), **counts, "learned": sum(small["learned"]), "cut": sum(small["cuts"])}
