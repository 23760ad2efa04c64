"""Two processes that want the same folder at the same moment: one gets it, the other is told by whom; the death of the holder frees it at once."""
import multiprocessing
import os
import signal
import time

import pytest

from luthier import files
from luthier.errors import FolderInUse
from luthier.files import FolderLock

FORK = multiprocessing.get_context("fork")


def contend(folder, barrier, answers) -> None:
    barrier.wait()
    try:
        with FolderLock(folder):
            answers.put((os.getpid(), "held", ""))
            time.sleep(60)
    except FolderInUse as error:
        answers.put((os.getpid(), "refused", error.message))


def race(folder) -> list[tuple]:
    """Two processes at once; the holder is killed, and the next one must get the folder without a hand's help."""
    barrier, answers = FORK.Barrier(2), FORK.Queue()
    both = [FORK.Process(target=contend, args=(folder, barrier, answers)) for _ in range(2)]
    for process in both:
        process.start()
    found = [answers.get(timeout=20) for _ in both]
    for process in both:
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    with FolderLock(folder):
        pass
    return found


def odd_races(tmp_path, count: int) -> int:
    """Races that did not end with one holder and one who was told the holder's name."""
    odd = 0
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = sorted(race(folder), key=lambda answer: answer[1])
        odd += [answer[1] for answer in found] != ["held", "refused"] or f"pid {found[0][0]} on" not in found[1][2] and "another process" not in found[1][2]
    return odd


@pytest.mark.parametrize("count", [10, pytest.param(50, marks=pytest.mark.nightly)])
def test_one_of_two_gets_the_folder(tmp_path, count, record_property):
    assert odd_races(tmp_path, count) == 0
    record_property("figure", ("B-8", "two starts in one folder: one goes on, the other is refused; after kill -9 the next one goes on", f"{count} of {count}"))


def test_without_the_kernels_lock_both_get_it(tmp_path, monkeypatch):
    """Negative control."""
    monkeypatch.setattr(files.fcntl, "flock", lambda *_: None)
    assert odd_races(tmp_path, 2) == 2
