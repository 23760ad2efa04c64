"""Rows to files: one writer per format, each a stream, so that memory does not grow with the file."""
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from luthier.data.sources import csv as csv_source
from luthier.data.sources import folder
from luthier.data.sources.lines import head_of
from luthier.errors import DataError
from luthier.files import replacing

HEAD = 1 << 16
BATCH = 4096


def jsonl(stream: BinaryIO, rows: Iterable[dict], like: "Like") -> None:
    for row in rows:
        stream.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")


def json_array(stream: BinaryIO, rows: Iterable[dict], like: "Like") -> None:
    stream.write(b"[")
    for at, row in enumerate(rows):
        stream.write((b",\n" if at else b"\n") + json.dumps(row, ensure_ascii=False).encode())
    stream.write(b"\n]\n")


def separated(stream: BinaryIO, rows: Iterable[dict], like: "Like") -> None:
    """A header and lines; what is no text is written as JSON. Columns are those of the first row, or those that `like` names."""
    rows = iter(rows)
    first = next(rows, None)
    columns = like.columns or list(first or {})
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, delimiter=like.delimiter, lineterminator="\n", quoting=csv.QUOTE_MINIMAL if like.quoting else csv.QUOTE_NONE, quotechar='"' if like.quoting else None)
    writer.writerow(columns)
    for row in [first] if first is not None else []:
        writer.writerow([cell(row.get(name)) for name in columns])
    for row in rows:
        if unknown := row.keys() - set(columns):
            raise DataError(f"a row has the column `{sorted(unknown)[0]}`, which the first row lacks: a table needs the same columns in every row", code="D150", hint="write .jsonl instead")
        writer.writerow([cell(row.get(name)) for name in columns])
    text.detach()


def cell(value) -> str:
    """A value as a table holds it."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def parquet(stream: BinaryIO, rows: Iterable[dict], like: "Like") -> None:
    """Batch by batch; the types are those of the first batch, or of the file that `like` was made from."""
    from pyarrow import parquet as files

    tables(stream, rows, like.schema, files.ParquetWriter)


def tables(stream: BinaryIO, rows: Iterable[dict], schema, opened: Callable) -> None:
    """Rows as tables of one schema, which is that of the first batch where none is given; `opened(stream, schema)` gives the writer."""
    import pyarrow

    writer = None
    for batch in batched(rows, BATCH):
        if writer is None and schema is not None:  # columns that are new to the file that it stands for
            for name in (name for name in batch[0] if name not in schema.names):
                schema = schema.append(pyarrow.field(name, pyarrow.infer_type([row.get(name) for row in batch])))
        try:
            table = pyarrow.Table.from_pylist(batch, schema=schema)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise DataError(f"the rows do not fit into one table: {error}", code="D150", hint="write .jsonl instead") from None
        if writer is None:
            schema = table.schema
            writer = opened(stream, schema)
        writer.write_table(table)
    (writer or opened(stream, schema or pyarrow.schema([]))).close()


def text(stream: BinaryIO, rows: Iterable[dict], like: "Like") -> None:
    """Documents with a mark between them; only rows that hold nothing but a text."""
    for row in rows:
        if set(row) != {"text"}:
            raise DataError(f"plain text holds the column `text` only, and a row has {', '.join(row)}", code="D150", hint="write .jsonl instead")
        stream.write(row["text"].encode() + b"\n<|endoftext|>\n")


def arrow(stream: BinaryIO, rows: Iterable[dict], like: "Like") -> None:
    """A stream of record batches, as `datasets` keeps them; the types are those of the first batch."""
    from pyarrow import ipc

    tables(stream, rows, None, ipc.new_stream)


def conll(stream: BinaryIO, rows: Iterable[dict], like: "Like") -> None:
    """A word and its tag a line, sentences apart by a blank line; only rows of words and tags, as `--as tokens` makes them."""
    for row in rows:
        words, tags = row.get("tokens"), row.get("ner_tags")
        if not words or not tags or len(words) != len(tags) or set(row) - {"tokens", "ner_tags"}:
            raise DataError(f"CoNLL holds words and their tags only, and a row has {', '.join(row)}", code="D150", hint="luthier data convert FILE --as tokens -o NAME.conll")
        if bad := next((word for word in words if not word.strip() or any(sign.isspace() for sign in word)), None):
            raise DataError(f"the word {bad!r} holds white space, which parts columns in CoNLL", code="D150", hint="write .jsonl instead")
        stream.write("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags)).encode() + b"\n")


TARGETS: dict[str, Callable] = {
    ".jsonl": jsonl, ".ndjson": jsonl, ".json": json_array, ".csv": separated, ".tsv": separated, ".tab": separated, ".parquet": parquet, ".arrow": arrow,
    ".conll": conll, ".txt": text,
}


class Like:
    """What a written file keeps of the file it stands for: delimiter, quotes, types."""

    def __init__(self, path: Path | None = None, suffix: str = ""):
        self.delimiter, self.quoting, self.schema = "\t" if suffix in (".tsv", ".tab") else ",", True, None
        self.columns: list[str] = []
        if path is None or not path.is_file():
            return
        own = folder.format_suffix(path)
        if own in (".csv", ".tsv", ".tab") and suffix == own:
            lines = head_of(path, HEAD).decode("utf-8", "replace").split("\n")
            found = csv_source.sniff([line.rstrip("\r") for line in lines if line.strip()])
            self.delimiter, self.quoting = found.delimiter, found.quoting
        if own == ".parquet" and suffix == own:
            from pyarrow import parquet as files

            self.schema = files.read_schema(path)


def write(path: Path, rows: Iterable[dict], like: Path | None = None) -> None:
    """Write rows to a file in the format of its suffix; the file appears when it is whole."""
    suffix = folder.format_suffix(path)
    if suffix not in TARGETS:
        raise DataError(f"{path}: {suffix or 'no suffix'} is no format that is written", code="D131", file=str(path), hint=f"end the name in one of: {', '.join(TARGETS)}")
    with replacing(path) as stream:
        TARGETS[suffix](stream, rows, Like(like, suffix))


def batched(rows: Iterable[dict], size: int) -> Iterator[list[dict]]:
    held: list[dict] = []
    for row in rows:
        held.append(row)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
