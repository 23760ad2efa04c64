"""Files and jobs that outlive the server: one SQLite file in write-ahead mode, every change one transaction, on the disk before anyone is told.

A job is only ever moved from a state in which it is (`move`), so that two who act at once cannot both succeed.
"""
import contextlib
import hashlib
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from luthier.errors import DiskError
from luthier.files import resolve, sync_folder

SCHEMA = """
CREATE TABLE IF NOT EXISTS files (id TEXT PRIMARY KEY, owner TEXT NOT NULL, created INTEGER NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL, purpose TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, created INTEGER NOT NULL, model TEXT NOT NULL, training_file TEXT NOT NULL, validation_file TEXT, method TEXT NOT NULL,
  hyperparameters TEXT NOT NULL, seed INTEGER NOT NULL, suffix TEXT, metadata TEXT, status TEXT NOT NULL, wanted TEXT, error TEXT, pid INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
  last_step INTEGER NOT NULL DEFAULT 0, finished INTEGER, fine_tuned_model TEXT, trained_tokens INTEGER, result_file TEXT, idempotency TEXT, removed INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX IF NOT EXISTS once ON jobs (owner, idempotency) WHERE idempotency IS NOT NULL;
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, created INTEGER NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL, type TEXT NOT NULL, data TEXT, mark TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS told_once ON events (job, mark) WHERE mark IS NOT NULL;
"""
OPEN = ("validating_files", "queued", "running", "paused")
"""States from which a job goes on."""
JSON_FIELDS = ("method", "hyperparameters", "metadata", "error")


@dataclass
class StoredFile:
    """An uploaded file, or a result."""

    id: str
    owner: str
    created: int
    name: str
    bytes: int
    purpose: str


@dataclass
class Job:
    """A fine-tuning job as it is kept."""

    id: str
    owner: str
    created: int
    model: str
    training_file: str
    validation_file: str | None
    method: dict
    hyperparameters: dict
    seed: int
    suffix: str | None = None
    metadata: dict | None = None
    status: str = "validating_files"
    wanted: str | None = None
    """cancel or pause, until it has happened."""
    error: dict | None = None
    pid: int | None = None
    attempts: int = 0
    """Starts without any progress since the last."""
    last_step: int = 0
    finished: int | None = None
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    result_file: str | None = None
    idempotency: str | None = field(default=None, repr=False)
    removed: int = 0
    """Whether its model was taken away."""

    @property
    def run(self) -> str:
        """The name of its run."""
        return self.id


class Store:
    """Files and jobs in one folder."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.files_folder = self.folder / "files"
        self.files_folder.mkdir(parents=True, exist_ok=True)
        self.local = threading.local()
        with self.transaction() as connection:
            connection.executescript(SCHEMA)

    # ---- the database ---------------------------------------------------------------------------
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        if not hasattr(self.local, "connection"):
            connection = sqlite3.connect(self.folder / "jobs.sqlite", timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self.local.connection = connection
        return self.local.connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; the disk has it when the block is left."""
        try:
            connection = self.connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
        except sqlite3.Error as error:
            raise DiskError(f"the queue of jobs cannot be used: {error}", code="F121", file=str(self.folder / "jobs.sqlite"), hint="check the disk and its permissions") from error

    def rows(self, query: str, *values) -> list[sqlite3.Row]:
        try:
            return self.connection().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise DiskError(f"the queue of jobs cannot be used: {error}", code="F121", file=str(self.folder / "jobs.sqlite"), hint="check the disk and its permissions") from error

    # ---- files ----------------------------------------------------------------------------------
    def path(self, file_id: str) -> Path:
        """Where a file's bytes lie."""
        return resolve(self.files_folder, f"{file_id}.jsonl" if not file_id.endswith("-csv") else f"{file_id}.csv")

    def keep_file(self, owner: str, name: str, purpose: str, staged: Path, file_id: str | None = None) -> StoredFile:
        """Take over a file that was written beside the others; its bytes are on the disk before its row is. Kept again under the same `file_id` it stays one file."""
        found = StoredFile(file_id or f"file-{secrets.token_hex(12)}", owner, int(time.time()), name, staged.stat().st_size, purpose)
        with open(staged, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(staged, self.path(found.id))
        sync_folder(self.files_folder)
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", (found.id, owner, found.created, name, found.bytes, purpose))
        return found

    def file(self, file_id: str, owner: str) -> StoredFile | None:
        found = self.rows("SELECT * FROM files WHERE id = ? AND owner = ?", file_id, owner)
        return StoredFile(**found[0]) if found else None

    def files(self, owner: str) -> list[StoredFile]:
        return [StoredFile(**row) for row in self.rows("SELECT * FROM files WHERE owner = ? ORDER BY created DESC, id DESC", owner)]

    def drop_file(self, file_id: str, owner: str) -> bool:
        """Forget a file; False where there is none, or an open job still needs it."""
        with self.transaction() as connection:
            marks = ", ".join("?" for _ in OPEN)
            used = connection.execute(f"SELECT 1 FROM jobs WHERE (training_file = ? OR validation_file = ?) AND status IN ({marks})", (file_id, file_id, *OPEN)).fetchone()
            if used or not connection.execute("DELETE FROM files WHERE id = ? AND owner = ?", (file_id, owner)).rowcount:
                return False
        self.path(file_id).unlink(missing_ok=True)
        return True

    # ---- jobs -----------------------------------------------------------------------------------
    def create(self, job: Job) -> Job:
        """Queue a job. The same idempotency key by the same owner gives the job that is there already."""
        with self.transaction() as connection:
            if job.idempotency is not None:
                there = connection.execute("SELECT * FROM jobs WHERE owner = ? AND idempotency = ?", (job.owner, job.idempotency)).fetchone()
                if there is not None:
                    return as_job(there)
            values = as_row(job)
            connection.execute(f"INSERT INTO jobs ({', '.join(values)}) VALUES ({', '.join('?' for _ in values)})", tuple(values.values()))
            say(connection, job.id, "Created fine-tuning job: " + job.id)
        return job

    def job(self, job_id: str, owner: str | None = None) -> Job | None:
        found = self.rows("SELECT * FROM jobs WHERE id = ?", job_id)
        return as_job(found[0]) if found and owner in (None, found[0]["owner"]) else None

    def jobs(self, owner: str | None = None, status: str | None = None) -> list[Job]:
        """Jobs, the newest first."""
        found = [as_job(row) for row in self.rows("SELECT * FROM jobs ORDER BY created DESC, rowid DESC")]
        return [job for job in found if owner in (None, job.owner) and status in (None, job.status)]

    def move(self, job_id: str, sources: tuple[str, ...], *messages: str, level: str = "info", **changes) -> bool:
        """Change a job if it is in one of the states `sources`, and say so in the same transaction, so that nobody finds the one without the other; False where it is not."""
        values = {name: json.dumps(value) if name in JSON_FIELDS and value is not None else value for name, value in changes.items()}
        with self.transaction() as connection:
            marks = ", ".join("?" for _ in sources)
            settings = ", ".join(f"{name} = ?" for name in values)
            if not connection.execute(f"UPDATE jobs SET {settings} WHERE id = ? AND status IN ({marks})", (*values.values(), job_id, *sources)).rowcount:
                return False
            for message in messages:
                say(connection, job_id, message, level=level)
        return True

    # ---- events ---------------------------------------------------------------------------------
    def tell(self, job_id: str, message: str, *, level: str = "info", type: str = "message", data: dict | None = None, mark: str | None = None) -> None:
        """Add an event; one with a `mark` is told once however often it is said."""
        with self.transaction() as connection:
            say(connection, job_id, message, level=level, type=type, data=data, mark=mark)

    def events(self, job_id: str) -> list[dict]:
        """All events, the newest first, in OpenAI's shape."""
        return [
            {"object": "fine_tuning.job.event", "id": f"ftevent-{row['number']:012d}", "created_at": row["created"], "level": row["level"], "message": row["message"], "type": row["type"],
             "data": json.loads(row["data"]) if row["data"] else {}}
            for row in self.rows("SELECT * FROM events WHERE job = ? ORDER BY number DESC", job_id)
        ]


def say(connection: sqlite3.Connection, job_id: str, message: str, *, level: str = "info", type: str = "message", data: dict | None = None, mark: str | None = None) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO events (job, created, level, message, type, data, mark) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (job_id, int(time.time()), level, message, type, json.dumps(data) if data else None, mark),
    )


def new_job_id() -> str:
    return f"ftjob-{secrets.token_hex(12)}"


def result_id(job_id: str) -> str:
    """The identifier of a job's result file: always the same one, so that a result written again after a death is no second file."""
    return f"file-{hashlib.sha256(job_id.encode()).hexdigest()[:24]}-csv"


def as_row(job: Job) -> dict:
    return {name: json.dumps(value) if name in JSON_FIELDS and value is not None else value for name, value in vars(job).items()}


def as_job(row: sqlite3.Row) -> Job:
    return Job(**{name: json.loads(row[name]) if name in JSON_FIELDS and row[name] is not None else row[name] for name in row.keys()})
