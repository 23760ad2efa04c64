"""A server that is killed at any moment loses no job and doubles none."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from luthier.errors import FolderInUse
from luthier.serving.jobs.store import Job, Store, new_job_id
from luthier.serving.jobs.supervisor import Supervisor, wants

HERE = Path(__file__).parent
STEPS = 12


def job(**more) -> Job:
    return Job(new_job_id(), "me", int(time.time()), "base", "file-1", None, {"type": "supervised", "supervised": {"hyperparameters": {}}}, {}, 1, **more)


def supervisor(folder: Path, **more) -> Supervisor:
    def command(one, path, going_on):
        return [sys.executable, "-S", "-E", str(HERE / "fake_worker.py"), str(folder / "runs"), one.run, "1" if going_on else "0"]

    return Supervisor(Store(folder / "state"), folder / "runs", command, lambda one: None, pause=0.005, **more)


def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.005)


def assert_whole(folder: Path, store: Store, jobs: list[Job]) -> None:
    """Every job done once: each step once, one completion, one event of each kind, one result."""
    for one in jobs:
        found = store.job(one.id)
        assert found.status == "succeeded", (found, store.events(one.id)[:4])
        lines = (folder / "runs" / one.run / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == STEPS and (folder / "runs" / one.run / "completed").read_text() == "once\n"
        events = [event["message"] for event in store.events(one.id)]
        assert sum("training loss" in message for message in events) == STEPS and found.trained_tokens == 10 * STEPS
        for told in ("Created", "New fine-tuned", "The job has succ"):
            assert sum(message.startswith(told) for message in events) == 1, (told, events)
    results = [store.job(one.id).result_file for one in jobs]
    assert sorted(kept.id for kept in store.files("me")) == sorted(results) and sorted(path.name for path in store.files_folder.glob("*.csv")) == sorted(f"{one}.csv" for one in results)


@pytest.mark.parametrize("kills", [12, pytest.param(100, marks=pytest.mark.nightly)])
def test_a_server_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path, kills):
    chance, wanted = random.Random(4), max(6, kills // 3)
    promised: dict[str, str] = {}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}
    for kill in range(kills + 1):
        process = subprocess.Popen([sys.executable, str(HERE / "job_server.py"), str(tmp_path), str(min(wanted, 2 + kill))], stdout=subprocess.PIPE, text=True, env=environment)
        lines = [process.stdout.readline()]
        time.sleep(chance.uniform(0.0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        if kill % 3 == 0:
            kill_workers(Store(tmp_path / "state"))
        for line in lines:
            if line.endswith("\n"):
                number, job_id = line.split()
                assert promised.setdefault(number, job_id) == job_id, "a repeated request became another job"
    last = supervisor(tmp_path, max_jobs=3)
    until(lambda: try_start(last))
    for number in range(wanted):
        kept = last.store.create(job(idempotency=f"request {number}"))
        assert promised.setdefault(str(number), kept.id) == kept.id
    until(lambda: all(one.status == "succeeded" for one in last.store.jobs()), 120)
    last.stop()
    assert {one.id for one in last.store.jobs()} == set(promised.values()) and len(promised) == wanted
    assert_whole(tmp_path, last.store, last.store.jobs())


class Dead(BaseException):
    """The server's process is no more."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_death_beside_any_transaction_loses_and_doubles_nothing(tmp_path, monkeypatch, after):
    """One job's whole life, the server dying just before, or just after, its first transaction, its second, and so on to the last."""
    whole = Store.transaction

    @contextlib.contextmanager
    def dying(self):
        nonlocal left
        left -= 1
        if left < 0 and not after:
            raise Dead
        with whole(self) as connection:
            yield connection
        if left < 0:
            raise Dead

    for number in range(100):
        folder = tmp_path / str(number)
        first = supervisor(folder)
        made, left, died = first.store.create(job()), number, False
        monkeypatch.setattr(Store, "transaction", dying)
        try:
            until(lambda first=first, made=made: first.turn() or first.store.job(made.id).status == "succeeded")
        except Dead:
            died = True
        monkeypatch.setattr(Store, "transaction", whole)
        last = supervisor(folder)
        until(lambda last=last, made=made: last.turn() or last.store.job(made.id).status == "succeeded")
        assert_whole(folder, last.store, last.store.jobs())
        if not died:
            break
    assert not died and number > STEPS + 5, number


def kill_workers(store: Store) -> None:
    """The workers of running jobs die too."""
    for one in store.jobs(status="running"):
        try:
            if one.pid and one.id.encode() in Path(f"/proc/{one.pid}/cmdline").read_bytes():
                os.kill(one.pid, signal.SIGKILL)
        except OSError:
            pass  # it ended by itself


def try_start(one: Supervisor) -> bool:
    try:
        one.start()
    except FolderInUse:
        return False
    return True


def test_two_servers_do_not_share_a_queue(tmp_path):
    first, second = supervisor(tmp_path), supervisor(tmp_path)
    first.start()
    with pytest.raises(FolderInUse):
        second.start()
    first.stop()


def test_a_worker_that_lives_is_not_started_again(tmp_path):
    """The guard of doubling: the lock that a worker holds from its first moment."""
    first = supervisor(tmp_path)
    first.store.create(one := job(status="running"))
    first.begin(one)
    second = supervisor(tmp_path)
    second.begin(one)
    assert list(first.children) == [one.id] and not second.children and second.lives(one)
    first.children[one.id].wait()
    assert not second.lives(one)


def test_pause_resume_and_cancel(tmp_path):
    one = supervisor(tmp_path, max_jobs=1)
    paused, cancelled = one.store.create(job()), one.store.create(job())
    one.start()
    until(lambda: one.store.job(paused.id).last_step >= 2)
    assert wants(one.store, paused, "pause") and wants(one.store, cancelled, "cancel")
    until(lambda: one.store.job(paused.id).status in ("paused", "succeeded"))
    if one.store.job(paused.id).status == "paused":
        assert not wants(one.store, paused, "pause")
        assert wants(one.store, paused, "resume")
    until(lambda: one.store.job(paused.id).status == "succeeded")
    one.stop()
    assert one.store.job(cancelled.id).status == "cancelled" and not (tmp_path / "runs" / cancelled.run).exists()
    assert_whole(tmp_path, one.store, [paused])


def test_a_worker_that_dies_without_steps_fails_its_job_in_the_end(tmp_path):
    one = Supervisor(Store(tmp_path / "state"), tmp_path / "runs", lambda *_: [sys.executable, "-S", "-c", "raise SystemExit(1)"], lambda _: None, pause=0.005)
    made = one.store.create(job())
    one.start()
    until(lambda: one.store.job(made.id).status == "failed")
    one.stop()
    assert one.store.job(made.id).error["code"] == "worker_died"


def test_a_move_from_a_wrong_state_changes_nothing(tmp_path):
    store = Store(tmp_path)
    made = store.create(job())
    assert not store.move(made.id, ("running",), "never", status="succeeded")
    assert store.job(made.id).status == "validating_files" and len(store.events(made.id)) == 1
