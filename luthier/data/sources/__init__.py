"""Where data comes from: one file per origin, one way to read them all.

`locate` says what a name means; the `Source`s it gives yield rows, and findings where a row cannot be read.
"""
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.settings import LARGEST_LINE
from luthier.data.sources import arrow, conll, csv, folder, hub, json_array, jsonl, parquet, sqlite, stdin, text
from luthier.data.sources.lines import head_of
from luthier.data.sources.rows import Place, Row
from luthier.data.sources.strict_json import Fault, parse
from luthier.errors import DataError
from luthier.files import digest, sha256_file

__all__ = ["FORMATS", "SUFFIXES", "Finding", "Row", "Source", "locate", "read"]

FORMATS: dict[str, Callable[..., Iterator[Row | Finding]]] = {
    "jsonl": jsonl.read,
    "json array": json_array.read,
    "csv": csv.read,
    "parquet": parquet.read,
    "arrow": arrow.read,
    "text": text.read,
    "conll": conll.read,
}
SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".parquet": "parquet", ".arrow": "arrow",
    ".txt": "text", ".md": "text", ".text": "text", ".conll": "conll", ".conllu": "conll", ".iob": "conll", ".iob2": "conll", ".bio": "conll", ".bioes": "conll",
}


CODE = (".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".hpp", ".cs", ".go", ".rs", ".rb", ".php", ".swift", ".kt", ".scala", ".sh", ".sql", ".r", ".jl", ".lua", ".tex", ".rst")
"""Suffixes of files that are one document each, however many blank lines they have."""
SUFFIXES |= dict.fromkeys(CODE, "text")
LOOK = 1 << 16
"""Bytes that are looked at to tell the format."""


@dataclass
class Source:
    """Something that rows can be read from."""

    name: str
    """As the user named it."""
    paths: tuple[Path, ...] = ()
    """Its files, in order."""
    split: "hub.HubSplit | None" = None
    """Instead of files, a split of the hub."""
    query: str | None = None
    """Of a database: the table or the SELECT; empty is its only table."""

    def rows(self, max_line_bytes: int = LARGEST_LINE) -> Iterator[Row | Finding]:
        """Rows and findings in order; numbers run on over the files of a folder."""
        if self.split is not None:
            yield from self.split.rows(max_line_bytes)
            return
        if self.query is not None:
            yield from sqlite.read(self.paths[0], Place(self.name), self.query)
            return
        before = 0
        for path in self.paths:
            number = 0
            name = self.name if len(self.paths) == 1 else str(path)
            for item in read_file(path, name, max_line_bytes, whole=len(self.paths) > 1):
                if type(item) is Row:
                    number = item.number
                    item.number += before
                elif item.rows:
                    number = item.rows[0]
                    item.rows = [number + before]
                yield item
            before += number

    def fingerprint(self) -> str:
        """SHA-256 of the content (of a hub split: of the files it was made from)."""
        return self.split.fingerprint() if self.split is not None else digest(*(sha256_file(path) for path in self.paths), *([self.query] if self.query else []))

    def state(self) -> tuple:
        """Size and time of the files: another value later means that they changed while they were read."""
        return tuple((stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in (path.stat() for path in self.paths))


def read(name: str, *, max_line_bytes: int = LARGEST_LINE) -> Iterator[Row | Finding]:
    """Rows and findings of the training data that a name means. Raises DataError where the name means nothing."""
    yield from locate(name)["train"].rows(max_line_bytes)


def read_file(path: Path, name: str, max_line_bytes: int, *, whole: bool = False) -> Iterator[Row | Finding]:
    """Rows and findings of one file, by its format; `name` is how messages call it."""
    place = Place(name)
    kind = format_of(path, name)
    if kind == "text":
        yield from text.read(path, place, max_line_bytes, whole=whole or folder.format_suffix(Path(name)) in CODE)
        return
    if kind == "json array" and folder.format_suffix(Path(name)) in (".jsonl", ".ndjson"):
        yield place.note("a JSON array under a .jsonl name: its elements are read as rows")
    yield from FORMATS[kind](path, place, max_line_bytes)


def format_of(path: Path, name: str) -> str:
    """The format of a file: by its suffix, or by its content where the suffix says nothing (stdin) or the content says more (JSON)."""
    suffix = folder.format_suffix(Path(name))
    kind = SUFFIXES.get(suffix, "")
    if (kind == "" or suffix in (".txt", ".tsv")) and conll.looks_like(head_of(path, LOOK)):
        return "conll"
    if kind in ("", "jsonl"):
        head = head_of(path, LOOK)
        start = head.lstrip()[:1]
        if head[:4] == parquet.MAGIC:
            return "parquet"
        if head[:6] == arrow.MAGIC:
            return "arrow"
        if start == b"[" and not _is_one_row(head):
            return "json array"
        if not kind and start != b"{":
            sample = head.decode(errors="replace").split("\n")[:-1] or [head.decode(errors="replace")]
            dialect = csv.sniff([line.rstrip("\r") for line in sample if line.strip()])
            return "csv" if dialect.delimiter in sample[0] else "text"
    return kind or "jsonl"


def _is_one_row(head: bytes) -> bool:
    """Whether a file that begins with `[` is lines nevertheless: its first line is a whole value, and another line follows."""
    first, _, rest = head.lstrip().partition(b"\n")
    try:
        parse(first.decode())
    except (Fault, UnicodeDecodeError):
        return False
    return bool(rest.strip())


def locate(name: str) -> dict[str, Source]:
    """What a name means, by split: `-` is stdin, then an existing file or folder, then a pattern (`logs/*.jsonl`), then a hub id.

    Raises DataError: D130 nothing of that name, D131 a format that is not read, D132 the hub.
    """
    if name == "-":
        return {"train": Source("stdin", (stdin.spooled(),))}
    if not name:
        raise DataError("no data is named", code="D130", hint="set data.train to a file, a folder, a hub id or `-` for stdin")
    if database := sqlite.parse_name(name):
        return {"train": Source(name, (database[0],), query=database[1])}
    path = Path(name)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"{name[:200]!r} is no path: {error}", code="D130", file=name[:200]) from None
    if is_folder:
        splits = folder.files_of(path, set(SUFFIXES))
        return {split: Source(name if len(files) > 1 else str(files[0]), tuple(files)) for split, files in splits.items()}
    if is_file:
        return {"train": Source(name, (known(path),))}
    if any(sign in name for sign in "*?[") and (files := folder.matching(name, set(SUFFIXES))):
        return {"train": Source(name if len(files) > 1 else str(files[0]), tuple(files))}
    if not name.startswith((".", "/", "~")) and folder.format_suffix(path) not in SUFFIXES and hub.parse_name(name):
        return {split: Source(found.name, split=found) for split, found in hub.load(name).items()}
    raise missing(path, name)


def known(path: Path) -> Path:
    """The path, where its suffix is one that is read, or says nothing and its content is text."""
    suffix = folder.format_suffix(path)
    if suffix and suffix not in SUFFIXES:
        if suffix in (".xlsx", ".xls", ".zip", ".tar", ".tgz", ".pkl", ".pickle", ".npz", ".npy", ".bin", ".pdf", ".docx", ".html", ".xml", ".yaml", ".yml"):
            raise DataError(f"{path} is a {suffix} file, which is not read", code="D131", file=str(path), hint=f"write it as one of: {', '.join(SUFFIXES)} (each may be .gz)")
    return path


def missing(path: Path, name: str) -> DataError:
    """The sentence for a file that is not there, with the nearest name that is."""
    near = []
    if path.parent.is_dir():
        near = difflib.get_close_matches(path.name, [each.name for each in path.parent.iterdir()], n=1, cutoff=0.6)
    hint = f"did you mean {path.parent / near[0]}?" if near else f"data is read from {path.parent.resolve()}; a hub id is user/name"
    return DataError(f"there is no file or folder {name}", code="D130", file=name, hint=hint)
