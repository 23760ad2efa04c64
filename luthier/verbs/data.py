"""`data gather | from-table | convert | join | sample | mix | shop`: rows made of documents, tables and other rows. Each reads strictly, writes one new file, and accounts for every row."""
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from luthier.data import documents, gathering, samples, shaping, sources, spellings, targets
from luthier.data import from_table as tables
from luthier.data.findings import Finding
from luthier.data.fixes.private import Pseudonyms
from luthier.data.mending import mapped
from luthier.data.records import Record
from luthier.data.sources import Row
from luthier.errors import DataError, RecipeError
from luthier.verbs.results import Answered


def gather(paths: Iterable[str], *, output: str, pairs: bool = False, longest: int = 4000) -> Answered:
    """Documents (HTML, Markdown, PDF, DOCX, text, source files; files and folders) to rows with page and paragraph. Returns `{file, rows, documents, kinds}`."""
    places = [place for path in paths for place in documents.matching(path)]
    for path in places:
        if not path.exists():
            raise sources.missing(path, str(path))
    counts: dict[str, int] = {}
    read: set[str] = set()

    def counted(rows: Iterator[dict]) -> Iterator[dict]:
        for row in rows:
            read.add(row["file"])
            kind = row.get("kind", "text")
            counts[kind] = counts.get(kind, 0) + 1
            yield row

    targets.write(Path(output), counted(gathering.pairs(places) if pairs else gathering.texts(places, longest=longest)))
    return Answered({"file": output, "rows": sum(counts.values()), "documents": len(read), "kinds": counts})


def from_table(name: str, *, output: str, kinds: Iterable[str] = tables.KINDS, name_column: str = "", id_column: str = "") -> Answered:
    """A catalogue (CSV, SQLite, any table) to question-answer pairs, descriptions and passages. Returns `{file, rows, products, types, kinds}`; split with data.group=product."""
    kinds = list(kinds) or list(tables.KINDS)
    if unknown := set(kinds) - set(tables.KINDS):
        raise RecipeError(f"`{sorted(unknown)[0]}` is no kind of rows", code="R145", hint=f"kinds: {', '.join(tables.KINDS)}")
    rows = list(strict(name))
    if not rows:
        raise DataError(f"{name} has no rows", code="D120", file=name)
    columns = tables.look(rows, name=name_column, id=id_column)
    made = list(tables.rows_from(rows, columns, kinds))
    targets.write(Path(output), made)
    return Answered({"file": output, "rows": len(made), "products": len({row["product"] for row in made}), "types": columns.types, "kinds": sorted({row["kind"] for row in made})})


def strict(name: str) -> Iterator[dict]:
    """The values of every row; the first row that cannot be read is an error."""
    for item in sources.read(name):
        if isinstance(item, Row):
            yield dict(item.values)
        elif item.level == "error":
            raise told(item)


def told(finding: Finding) -> DataError:
    shape = finding.to_dict()
    return DataError(shape.pop("message"), **{key: value for key, value in shape.items() if key != "level"})


def records(name: str, task: str | None = None) -> Iterator[Record]:
    """The rows of a source as records, their columns guessed as `init` would, for the task where one is named."""
    from itertools import chain, islice

    items = sources.read(name)
    first = [item for item in islice(items, spellings.SAMPLE)]
    if task is not None and task not in spellings.TASKS:
        raise RecipeError(f"there is no task `{task}`", code="R145", hint=f"tasks: {', '.join(spellings.TASKS)}")
    mapping = spellings.guess([item for item in first if isinstance(item, Row)], name, task=task)
    for item in chain(first, items):
        record = spellings.convert(item, mapping) if isinstance(item, Row) else item
        if not isinstance(record, Finding):
            yield record
        elif record.level == "error":
            raise told(record)


def convert(name: str, *, output: str, shape: str | None = None, task: str | None = None) -> Answered:
    """Another file format, and with `shape` another spelling. Returns `{file, rows}`; a row that the target cannot hold is an error, and no file is written."""
    if shape is not None and shape not in shaping.SHAPES:
        raise RecipeError(f"there is no shape `{shape}`", code="R145", hint=f"shapes: {', '.join(shaping.SHAPES)}")
    counted = Counted(shaping.shaped(records(name, task), shape) if shape else strict(name))
    targets.write(Path(output), counted)
    return Answered({"file": output, "rows": counted.count})


class Counted:
    """Rows on their way, counted."""

    def __init__(self, rows: Iterable[dict]):
        self.rows, self.count = rows, 0

    def __iter__(self) -> Iterator[dict]:
        for row in self.rows:
            self.count += 1
            yield row


def restore(name: str, *, key: str, output: str) -> Answered:
    """The rows with the pseudonyms of a key file as what they stand for. Returns `{file, rows, restored}`; DataError D151 for a file that is no key."""
    if not Path(key).exists():
        raise sources.missing(Path(key), key)
    pseudonyms, restored = Pseudonyms(Path(key)), 0

    def rows() -> Iterator[dict]:
        nonlocal restored
        for row in strict(name):
            values = mapped(row, pseudonyms.restored)
            restored += values != row
            yield values

    counted = Counted(rows())
    targets.write(Path(output), counted, like=Path(name) if Path(name).is_file() else None)
    return Answered({"file": output, "rows": counted.count, "restored": restored})


def join(names: Iterable[str], *, output: str) -> Answered:
    """One file after the other, each row with the name of its file in `source`. Returns `{file, rows, by_source}`."""
    counts: dict[str, int] = {}

    def rows() -> Iterator[dict]:
        for name in names:
            for row in strict(name):
                counts[name] = counts.get(name, 0) + 1
                yield {**row, "source": row.get("source", name)}

    targets.write(Path(output), rows())
    return Answered({"file": output, "rows": sum(counts.values()), "by_source": counts})


def sample(name: str, *, output: str, count: int, seed: int = 17) -> Answered:
    """Rows drawn by lot, in their order; the same seed draws the same rows, and more rows of a larger `count` hold those of a smaller. Returns `{file, rows, of}`."""
    keys = [(key_of(seed, number), number) for number, _ in enumerate(strict(name))]
    if count < 1:
        raise RecipeError(f"a sample has at least one row, got {count}", code="R145", hint="--rows 100")
    chosen = {number for _, number in sorted(keys)[:count]}
    counted = Counted(row for number, row in enumerate(strict(name)) if number in chosen)
    targets.write(Path(output), counted)
    return Answered({"file": output, "rows": counted.count, "of": len(keys)})


def shop(kind: str, *, folder: str, rows: int, seed: int, defects: bool = False) -> Answered:
    """A sample of the fictional shop that ships, with what belongs to it beside it. Returns `{file, rows, files}`."""
    place = Path(folder)
    if place.is_dir() and any(place.iterdir()):
        raise RecipeError(f"the folder {folder} is there and not empty", code="R145", file=folder, hint="name another with --output")
    file = samples.write(place, kind=kind, rows=rows, seed=seed, defects=defects)
    return Answered({"file": str(file), "rows": rows, "files": sorted(path.name for path in place.iterdir())})


def key_of(seed: int, number: int) -> bytes:
    return hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest()


def mix(parts: Iterable[str], *, output: str, rows: int | None = None, seed: int = 17) -> Answered:
    """Sources by share (`a.jsonl=3 b.jsonl=1`), none repeated: the largest mixture that the shares allow, or `rows` of it, in random order. Returns `{file, rows, by_source}`."""
    shares: dict[str, float] = {}
    for part in parts:
        name, _, share = part.rpartition("=") if "=" in part else (part, "", "1")
        try:
            shares[name] = float(share)
        except ValueError:
            raise RecipeError(f"`{part}` is not FILE=SHARE", code="R145", hint="for example a.jsonl=3 b.jsonl=1") from None
        if not shares[name] > 0:
            raise RecipeError(f"the share of {name} must be above 0", code="R145", hint="leave the file out instead")
    sizes = {name: sum(1 for _ in strict(name)) for name in shares}
    total = sum(shares.values())
    most = min(int(sizes[name] * total / share) for name, share in shares.items())
    if rows is not None and rows > most:
        raise RecipeError(f"the shares allow {most:,} rows, and {rows:,} are asked for", code="R145", hint="rows are not repeated: lower --rows or the share of the smallest file")
    wanted = {name: round((rows or most) * share / total) for name, share in shares.items()}
    drawn = []
    for at, (name, count) in enumerate(wanted.items()):
        order = sorted(range(sizes[name]), key=lambda number: key_of(seed + at, number))
        chosen = set(order[:count])
        drawn += [{**row, "source": row.get("source", name)} for number, row in enumerate(strict(name)) if number in chosen]
    mixed = [row for _, row in sorted(enumerate(drawn), key=lambda item: key_of(seed - 1, item[0]))]
    targets.write(Path(output), mixed)
    return Answered({"file": output, "rows": len(mixed), "by_source": wanted})
