"""How often each test split has been looked at: a test set that chose the model is no longer a test set.

One small SQLite file beside the runs; a row for every evaluation, keyed by the fingerprint of the test split.
"""
import contextlib
import sqlite3
import time
from pathlib import Path

from luthier.errors import DiskError


@contextlib.contextmanager
def opened(root: Path):
    try:
        connection = sqlite3.connect(Path(root) / "index.sqlite", timeout=30)
        try:
            with connection:
                connection.execute("CREATE TABLE IF NOT EXISTS evaluations (test_split TEXT NOT NULL, run TEXT NOT NULL, time REAL NOT NULL)")
                yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DiskError(f"the index of runs cannot be used: {error}", code="F110", file=str(Path(root) / "index.sqlite"), hint="move the file away; it is made anew") from error


def record(root: Path, *, test_split: str, run: str) -> int:
    """Note that `run` was evaluated on a test split; returns how many evaluations that split has now had."""
    with opened(root) as connection:
        connection.execute("INSERT INTO evaluations VALUES (?, ?, ?)", (test_split, run, time.time()))
        return connection.execute("SELECT COUNT(*) FROM evaluations WHERE test_split = ?", (test_split,)).fetchone()[0]
