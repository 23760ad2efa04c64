"""SQLite: a table or a SELECT of a database file, opened for reading only. `shop.db:products`, or `shop.db:SELECT name, price FROM products`."""
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.sources.rows import Place, Row
from luthier.errors import DataError

SUFFIXES = (".db", ".sqlite", ".sqlite3")
NAME = re.compile(r"(?P<path>.+?\.(?:db|sqlite3?))(?::(?P<what>.+))?", re.I | re.S)
READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def parse_name(name: str) -> tuple[Path, str] | None:
    """The file of a name and what of it is meant; None where the name means no database that exists."""
    match = NAME.fullmatch(name)
    return (Path(match["path"]), match["what"] or "") if match and Path(match["path"]).is_file() else None


def read(path: Path, place: Place, what: str) -> Iterator[Row | Finding]:
    """Rows of the table, the view or the SELECT. Raises DataError D131 where it cannot be read."""
    try:
        with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True) as connection:
            query = select(connection, path, what)
            # whatever a SELECT may hold, nothing but reading is allowed: no ATTACH, no PRAGMA, no writing
            connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY)
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description or ()]
            for number, values in enumerate(cursor, 1):
                yield Row({name: plain(value) for name, value in zip(names, values)}, None, None, number, place.file)
    except sqlite3.Error as error:
        raise DataError(f"{path}: {error}", code="D131", file=str(path), hint="name a table, or one SELECT: shop.db:products") from None
    finally:
        if "connection" in locals():
            connection.close()


def select(connection: sqlite3.Connection, path: Path, what: str) -> str:
    """The query: the one given, else of the table named, else of the only table."""
    if re.match(r"\s*(?:select|with)\b", what, re.I):
        return what
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name")]
    chosen = what or (tables[0] if len(tables) == 1 else "")
    if chosen not in tables:
        told = f"{path} has no table `{what}`" if what else f"{path} holds {len(tables)} tables"
        raise DataError(told, code="D131", file=str(path), hint=f"name one: {path}:{tables[0] if tables else 'TABLE'}; there are: {', '.join(tables[:20]) or 'none'}")
    quoted = chosen.replace('"', '""')
    return f'SELECT * FROM "{quoted}"'


def plain(value):
    """Bytes as text where they are text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
