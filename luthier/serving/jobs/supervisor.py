"""Works the queue off: checks files, starts a process for each job over a run folder of its own, watches it, and takes it up again after any death.

The server may die at any moment. A worker holds a lock that it got from the server with its first breath and that the kernel frees with its last,
so whoever looks knows whether it lives; it goes on when the server is gone, and a server that comes back finds it or what it left.
"""
import csv
import fcntl
import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from luthier.files import FolderLock
from luthier.runs.folder import Run
from luthier.serving.jobs.store import Job, Store, result_id

log = logging.getLogger("luthier.serving")
MOST_ATTEMPTS = 3
"""Deaths in a row without a step between them, after which a job has failed."""
GRACE = 60.0
"""Seconds from asking a worker to stop until it is stopped."""

Command = Callable[[Job, Path, bool], list[str]]
"""The worker's command line for a job, its run folder, and whether to go on with what is there."""


class Supervisor:
    """One thread per server; one server per folder of jobs."""

    def __init__(self, store: Store, runs: Path, command: Command, check: Callable[[Job], str | None], *, max_jobs: int = 1, done: Callable[[Job, Path], None] = lambda job, path: None, pause: float = 0.2):
        """`check` says what is wrong with a job's files, or None; `done` makes a finished job's model answer."""
        self.store, self.runs, self.command, self.check, self.max_jobs, self.done, self.pause = store, runs, command, check, max_jobs, done, pause
        self.children: dict[str, subprocess.Popen] = {}
        self.asked: dict[str, float] = {}
        self.wake, self.stopping = threading.Event(), False
        self.lock = FolderLock(store.folder)
        self.thread = threading.Thread(target=self.go, name="luthier-jobs", daemon=True)

    def start(self) -> None:
        """Take the folder (FolderInUse where another server has it) and begin."""
        self.lock.__enter__()
        self.thread.start()

    def stop(self) -> None:
        """Let go; workers go on."""
        self.stopping = True
        self.wake.set()
        if self.thread.is_alive():
            self.thread.join(timeout=30)
        self.lock.__exit__()

    def go(self) -> None:
        while not self.stopping:
            try:
                self.turn()
            except Exception:
                log.exception("the supervisor of jobs stumbled")
            self.wake.wait(self.pause)
            self.wake.clear()

    # ---- one look -------------------------------------------------------------------------------
    def turn(self) -> None:
        """Look once at every open job, the oldest first."""
        for job in reversed(self.store.jobs(status="validating_files")):
            self.validate(job)
        running = self.store.jobs(status="running")
        for job in running:
            self.watch(job)
        free = self.max_jobs - len(self.store.jobs(status="running"))
        for job in list(reversed(self.store.jobs(status="queued")))[: max(0, free)]:
            if self.store.move(job.id, ("queued",), "Fine-tuning job started", status="running"):
                self.begin(self.store.job(job.id))

    def validate(self, job: Job) -> None:
        if wrong := self.check(job):
            self.store.move(job.id, ("validating_files",), wrong, level="error", status="failed", finished=now(), error={"code": "invalid_training_file", "message": wrong, "param": "training_file"})
        else:
            self.store.move(job.id, ("validating_files",), "Files validated, moving job to queued state", status="queued")

    def folder(self, job: Job) -> Path:
        return self.runs / job.run

    # ---- workers --------------------------------------------------------------------------------
    def begin(self, job: Job) -> None:
        """Start a worker that holds the job's lock from its first moment; nothing happens where one lives already."""
        descriptor = self.take_lock(job)
        if descriptor is None:
            return
        folder = self.folder(job)
        going_on = (folder / "run.json").exists() and (folder / "luthier.yaml").exists()
        if not going_on:
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that died before its first file was whole
        environment = {**os.environ, "LUTHIER_RUNS": str(self.runs), "HF_HUB_DISABLE_TELEMETRY": "1"}
        try:
            with open(self.store.folder / f"{job.id}.log", "ab") as output:
                child = subprocess.Popen(
                    self.command(job, folder, going_on), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, pass_fds=(descriptor,), start_new_session=True,
                )
        finally:
            os.close(descriptor)
        self.children[job.id] = child
        self.store.move(job.id, ("running",), pid=child.pid)

    def lock_path(self, job: Job) -> Path:
        return self.store.folder / f"{job.id}.lock"

    def take_lock(self, job: Job) -> int | None:
        """The job's lock, or None while a worker holds it."""
        descriptor = os.open(self.lock_path(job), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def lives(self, job: Job) -> bool:
        if (child := self.children.get(job.id)) is not None:
            child.poll()  # a dead child must not stay a zombie
        descriptor = self.take_lock(job)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def watch(self, job: Job) -> None:
        """Tell the steps of a running job; ask it to stop where that is wanted; settle it when its worker has ended."""
        self.tell_steps(job)
        if self.lives(job):
            if job.wanted:
                self.ask_to_stop(job)
            return
        self.children.pop(job.id, None)
        self.asked.pop(job.id, None)
        self.tell_steps(job)
        self.settle(self.store.job(job.id))

    def ask_to_stop(self, job: Job) -> None:
        """SIGTERM saves a checkpoint and leaves; what does not leave in time is killed, and loses only the steps since its last."""
        first = self.asked.setdefault(job.id, time.monotonic())
        number = signal.SIGKILL if time.monotonic() - first > GRACE else signal.SIGTERM
        mark = f"{job.id}:{number}"
        if mark not in self.asked and self.signal(job, number):
            self.asked[mark] = time.monotonic()

    def signal(self, job: Job, number: int) -> bool:
        """Send a signal to the job's worker, and to nobody who took its number over."""
        try:
            pid = job.pid or locked_by(self.folder(job))
            if pid is None or job.id.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return False
            os.kill(pid, number)
        except OSError:
            return False
        return True

    # ---- ends -----------------------------------------------------------------------------------
    def settle(self, job: Job) -> None:
        """What becomes of a job whose worker is gone: by what its run folder says."""
        facts = facts_of(self.folder(job))
        status = facts.get("status")
        for mark in [mark for mark in self.asked if mark.startswith(job.id)]:
            del self.asked[mark]
        if status == "done":
            self.succeed(job)
        elif job.wanted == "cancel":
            self.store.move(job.id, ("running",), "The job has been cancelled", status="cancelled", finished=now(), wanted=None, pid=None)
        elif job.wanted == "pause":
            self.store.move(job.id, ("running",), "The job has been paused", status="paused", wanted=None, pid=None)
        elif status == "failed":
            self.fail(job, facts.get("error") or {})
        else:
            self.again(job)

    def succeed(self, job: Job) -> None:
        """Results first, then the one move that makes it so and says so: a death between them repeats the first and not the second."""
        run = Run(self.folder(job))
        name = f"ft:{job.model}:{job.suffix or 'luthier'}:{job.id[-8:]}"
        tokens = sum(row["tokens"] for row in run.rows("metrics.jsonl") if row.get("kind") == "train")
        changed = self.store.move(
            job.id, ("running",), f"New fine-tuned model created: {name}", "The job has successfully completed",
            status="succeeded", finished=now(), fine_tuned_model=name, trained_tokens=tokens, result_file=self.result_file(job, run), wanted=None, pid=None,
        )  # fmt: skip
        if changed:
            self.done(self.store.job(job.id), run.path)

    def fail(self, job: Job, error: dict) -> None:
        message = str(error.get("message") or "the training failed")[:500]
        bad_file = str(error.get("code", "")).startswith("D")
        told = {"code": "invalid_training_file" if bad_file else str(error.get("code") or "training_failed"), "message": message, "param": "training_file" if bad_file else None}
        self.store.move(job.id, ("running",), message, level="error", status="failed", finished=now(), error=told, wanted=None, pid=None)

    def again(self, job: Job) -> None:
        """The worker died without a word: go on where its last checkpoint stands, unless it dies again and again at the same place."""
        attempts = job.attempts + 1
        if attempts > MOST_ATTEMPTS:
            self.fail(job, {"code": "worker_died", "message": f"the training process died {attempts} times without making a step; its log is kept"})
            return
        if self.store.move(job.id, ("running",), "The training process died; going on from its last checkpoint", level="warn", attempts=attempts, pid=None):
            self.begin(self.store.job(job.id))

    # ---- what the folder says -------------------------------------------------------------------
    def tell_steps(self, job: Job) -> None:
        """One event for each step and each look at validation, however often they are read."""
        run = Run(self.folder(job))
        rows = run.rows("metrics.jsonl")
        new = [row for row in rows if row.get("step", 0) >= job.last_step]
        for row in new:
            if row["kind"] == "train":
                self.store.tell(
                    job.id, f"Step {row['step']}: training loss={row['loss']}", type="metrics", mark=f"train-{row['step']}",
                    data={"step": row["step"], "train_loss": row["loss"], "learning_rate": row.get("learning_rate")},
                )
            else:
                self.store.tell(job.id, f"Step {row['step']}: validation loss={row['loss']}", type="metrics", mark=f"valid-{row['step']}", data={"step": row["step"], "valid_loss": row["loss"]})
        last = max((row["step"] for row in new), default=0)
        if last > job.last_step:
            self.store.move(job.id, ("running",), last_step=last, attempts=0)

    def result_file(self, job: Job, run: Run) -> str:
        """The losses as a CSV, in the columns of the hosted API."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"])
        looks = {row["step"]: row["loss"] for row in run.rows("metrics.jsonl") if row.get("kind") == "validation"}
        for row in run.rows("metrics.jsonl"):
            if row.get("kind") == "train":
                writer.writerow([row["step"], row["loss"], "", looks.get(row["step"], ""), ""])
        staged = self.store.files_folder / f".staging-{job.id}"
        staged.write_text(text.getvalue(), encoding="utf-8")
        return self.store.keep_file(job.owner, f"{job.id}-results.csv", "fine-tune-results", staged, result_id(job.id)).id


def facts_of(folder: Path) -> dict:
    """run.json, or nothing where there is none that can be read."""
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def locked_by(folder: Path) -> int | None:
    """The process that holds a run's own lock, where the server died before it could note its number."""
    try:
        found = re.match(r"pid (\d+)", (folder / ".lock").read_text(encoding="utf-8"))
    except OSError:
        return None
    return int(found[1]) if found else None


def now() -> int:
    return int(time.time())


def wants(store: Store, job: Job, wanted: str) -> bool:
    """Ask for `cancel`, `pause` or `resume`; False where the job's state does not allow it."""
    if wanted == "resume":
        return store.move(job.id, ("paused",), "The job has been resumed", status="queued") or store.move(job.id, ("running",), wanted=None)
    if wanted == "pause":
        return store.move(job.id, ("validating_files", "queued"), "The job has been paused", status="paused") or store.move(job.id, ("running",), wanted="pause")
    waiting = store.move(job.id, ("validating_files", "queued", "paused"), "The job has been cancelled", status="cancelled", finished=now())
    return waiting or store.move(job.id, ("running",), wanted="cancel")
