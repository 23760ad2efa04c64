"""Killed at every single operation on the disk, a training goes on and ends with the same bits; the order of those operations is a durable one.

A toy network on the real Trainer, loop and writer, so that a trial costs milliseconds: every call that touches a disk is counted, and for each
number n a forked child dies just before its n-th call, or in the middle of it where it writes. The parent sweeps, resumes and compares.
"""
import builtins
import contextlib
import itertools
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from luthier import files
from luthier.errors import LuthierError
from luthier.objectives.loss import Loss
from luthier.runs.folder import Run, tidy
from luthier.training import checkpoint
from luthier.training.loop import key_noise
from luthier.training.settings import TrainingSettings
from luthier.verbs.stopping import Stopping
from luthier.verbs.training import COLUMNS, Look, Trainer, load_best

FORK = multiprocessing.get_context("fork")
STEPS = 6
CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir")


# ---- a small training ---------------------------------------------------------------------------
class Adapted(nn.Module):
    """A frozen layer with a thin learned product beside it: what LoRA leaves the writer to write."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.thin_in, self.thin_out, self.dropout = nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False), nn.Dropout(0.3)

    def forward(self, value):
        return self.frozen(value) + self.thin_out(self.dropout(self.thin_in(value)))


def whole():
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3), nn.Linear(4, 4))


NETWORKS = {"full": whole, "lora": Adapted}


class Batch:
    def __init__(self, number):
        self.rows = [[number]]
        self.value = torch.full((2, 4), 0.1 * (number % 5 + 1))


class Squares:
    """Two micro-batches a step, a pure function of the step."""

    def batches(self, network, start):
        while True:
            yield [Batch(2 * start), Batch(2 * start + 1)]
            start += 1

    def loss(self, network, batch):
        return Loss((network(batch.value) - 1).square().sum(), 8.0, 2)


def trainer_of(root: Path, kind: str, losses=None, **changes) -> Trainer:
    torch.manual_seed(0)
    network = NETWORKS[kind]()
    parameters = {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}
    settings = TrainingSettings(
        epochs=1.0, learning_rate=0.05, batch_size=2, tokens_per_micro_batch=8, packing=False, precision="fp32", evaluate_every=2, save_every=1,
        keep_checkpoints=1, threads=1, **changes,
    )
    objective = Squares()

    def look_losses(scores):
        if losses is not None:
            return losses[trainer.state.step], 1.0
        network.eval()
        key_noise(0, "validation")
        with torch.no_grad():
            return objective.loss(network, Batch(3)).total.item(), 8.0

    trainer = Trainer(
        Run(root), network, parameters, objective, settings, multiples={}, steps=STEPS, steps_per_epoch=STEPS, seed=5, identity={"data": "toy"},
        look=Look(look_losses, lambda: {"score": 1.0}), headline="score", say=Run(root).event,
    )
    return trainer


def work(root: Path, kind: str, **changes) -> None:
    """From nothing, or from where the folder stands, to the end."""
    run = Run(root)
    root.mkdir(exist_ok=True)
    tidy(run)
    trainer = trainer_of(root, kind, **changes)
    if checkpoint.all_checkpoints(root):
        trainer.resume()
    else:
        run.keep_rows("metrics.jsonl", lambda row: False)
    trainer.go(Stopping())
    load_best(run, trainer.parameters, run.event)
    (root / "kept.json").write_text(json.dumps({name: tensor.tolist() for name, tensor in trainer.parameters.items()}))


def fruit(root: Path) -> tuple:
    """Final weights and optimizer, the weights that were kept, the pointers, and the log but for seconds and rates."""
    last = root / json.loads((root / "last.json").read_text())["checkpoint"]
    tensors = {**load_file(last / "weights.safetensors"), **load_file(last / "optimizer.safetensors")}
    log = [{key: value for key, value in row.items() if key not in COLUMNS} for row in Run(root).rows("metrics.jsonl")]
    return {name: tensor.tolist() for name, tensor in tensors.items()}, json.loads((root / "kept.json").read_text()), (root / "best.json").read_text(), log


# ---- dying --------------------------------------------------------------------------------------
@contextlib.contextmanager
def watched(told):
    """Every call that changes the disk goes through `told(name, path, torn)`; `torn()` does half of a write."""
    real = {name: getattr(os, name) for name in CALLS}
    real_open, real_save = builtins.open, checkpoint.save_file

    def around(name):
        def call(*arguments, **named):
            makes = name != "open" or arguments[1] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)
            if makes:
                half = (lambda: real["write"](arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])) if name == "write" else None
                told(name, arguments, half)
            return None if name == "fsync" else real[name](*arguments, **named)  # a kill loses nothing that a sync would keep

        return call

    def appended(path, mode="r", *arguments, **named):
        if mode == "ab":
            told("append", (path,), lambda: real_open(path, "a").write('{"half":'))
        return real_open(path, mode, *arguments, **named)

    def saved(tensors, path):
        told("tensors", (path,), lambda: Path(path).write_bytes(b"\x40\0\0\0"))
        real_save(tensors, path)

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, around(name))
        patch.setattr(builtins, "open", appended)
        patch.setattr(checkpoint, "save_file", saved)
        yield


def die_at(number: int, torn: bool):
    left = number

    def told(name, arguments, half):
        nonlocal left
        left -= 1
        if left == 0:
            if torn and half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)

    return told


def dying(root: Path, kind: str, number: int, torn: bool, changes: dict) -> None:
    torch.set_num_threads(1)
    with watched(die_at(number, torn)):
        work(root, kind, **changes)
    os._exit(0)


def child(*arguments) -> int:
    process = FORK.Process(target=dying, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def traced(root: Path, kind: str, changes: dict) -> list[tuple[str, str]]:
    """The calls of an unbroken run, by name and path."""
    calls = []
    with watched(lambda name, arguments, half: calls.append((name, arguments))):
        work(root, kind, **changes)
    return calls


EARLY = {"losses": {0: 5.0, 2: 1.0, 4: 2.0, 6: 3.0}, "early_stopping": 1}
"""Validation rises at step 4, so the run stops there and step 2 is kept."""


def resumed(root: Path, kind: str, changes: dict) -> tuple:
    """The fruit of a run that was killed, after the same command again."""
    with watched(lambda *_: None):
        work(root, kind, **changes)
    return fruit(root)


def sweep_of(tmp_path, kind, changes, stride=1) -> tuple[list, int]:
    """Kill at every `stride`-th call until a run lives to its end; each killed one must resume to the unbroken one's fruit."""
    calls = traced(tmp_path / "unbroken", kind, changes)
    wanted, points = fruit(tmp_path / "unbroken"), 0
    for number in itertools.count(1, stride):
        for torn in (False, True):
            root = tmp_path / f"{number}-{torn}"
            if child(root, kind, number, torn, changes) == 0:
                print(f"{kind}: killed at {points} points of {len(calls)} disk calls, every one resumed to the same bits")
                assert number > len(calls) - 10
                return calls, points
            assert resumed(root, kind, changes) == wanted, f"killed at call {number} {calls[number - 1]}, torn {torn}"
            points += 1
            if number > len(calls) or calls[number - 1][0] not in ("write", "append", "tensors"):
                break


@pytest.mark.parametrize("kind, stride", [("lora", 3), ("full", 9), pytest.param("lora", 1, marks=pytest.mark.nightly), pytest.param("full", 1, marks=pytest.mark.nightly)])
def test_killed_at_every_call(tmp_path, kind, stride, record_property):
    """Saves, pointers and pruning of a whole run; the quick run takes every third and every ninth call."""
    calls, points = sweep_of(tmp_path, kind, {}, stride)
    which = "every" if stride == 1 else f"one in {stride}"
    record_property("figure", ("A-2", f"killed at {which} of {len(calls)} disk calls of a whole run ({kind})", f"{points} of {points} points, torn writes among them"))
    assert points > 150 // stride
    assert {name for name, _ in calls} >= {"write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "tensors", "append"}


def test_killed_in_a_run_that_stops_early(tmp_path):
    sweep_of(tmp_path, "lora", EARLY, 4)


@pytest.mark.parametrize("stride", [9, pytest.param(2, marks=pytest.mark.nightly)])
def test_killed_while_resuming(tmp_path, stride, record_property):
    """A second kill at every `stride`-th call of what comes after the first: the resume's own calls and the pruning that follows among them."""
    work(tmp_path / "unbroken", "lora")
    wanted, kills = fruit(tmp_path / "unbroken"), 0
    for number in itertools.count(1, stride):
        root = tmp_path / str(number)
        assert child(root, "lora", 150, False, {}) == -signal.SIGKILL
        code = child(root, "lora", number, True, {})
        assert resumed(root, "lora", {}) == wanted, f"second kill at call {number}"
        if code == 0:
            break
        kills += 1
    record_property("figure", ("A-4", f"killed again while resuming and pruning, one call in {stride}", f"{kills} of {kills} points"))
    assert kills >= 72 // stride


# ---- mutants: without the guard, the sweep is red ------------------------------------------------
@contextlib.contextmanager
def straight_into_place(final, **facts):
    """A writer without staging and rename."""
    Path(final).mkdir(exist_ok=True)
    yield Path(final)
    files.seal(Path(final), facts)


def is_broken(tmp_path) -> bool:
    try:
        sweep_of(tmp_path, "lora", {}, 3)
    except (AssertionError, LuthierError, ValueError, OSError, KeyError):
        return True
    return False


def test_a_writer_without_verification_is_caught(tmp_path, monkeypatch):
    """Final names written directly, and the newest folder taken as it is."""
    monkeypatch.setattr(checkpoint, "staged_folder", straight_into_place)
    monkeypatch.setattr(checkpoint, "verify", lambda folder: json.loads((folder / files.MANIFEST).read_text()))
    assert is_broken(tmp_path)


def test_a_pointer_that_is_not_set_again_is_caught(tmp_path, monkeypatch):
    """A kill between a checkpoint and its pointer would leave the older one as the best."""
    monkeypatch.setattr(checkpoint, "repoint", lambda *_: None)
    assert is_broken(tmp_path)


# ---- the order of the calls ---------------------------------------------------------------------
def order_faults(root: Path, kind: str) -> list[str]:
    """Run once, noting for every rename whether what it names was synced, and whether the folder above it was synced after."""
    faults, synced, unsynced_parents = [], set(), set()

    def told(name, arguments, half):
        if name == "fsync":
            path = os.readlink(f"/proc/self/fd/{arguments[0]}")
            synced.add(path)
            unsynced_parents.discard(path)
        if name in ("rename", "replace") and ".staging-gone" not in str(arguments[1]) and "staging-old" not in str(arguments[1]):
            source, target = str(arguments[0]), str(arguments[1])
            inside = [str(path) for path in Path(source).rglob("*") if path.is_file()] if os.path.isdir(source) else [source]
            faults.extend(f"{path} not synced before {target}" for path in inside if not was_synced(path, synced))
            if target.endswith(("best.json", "last.json")) and unsynced_parents:
                faults.append(f"pointer {target} before {sorted(unsynced_parents)}")
            unsynced_parents.add(os.path.dirname(target))

    with watched(told):
        work(root, kind)
    return faults + [f"{folder} never synced after a rename" for folder in unsynced_parents]


def was_synced(path: str, synced: set[str]) -> bool:
    """A file is synced under its own name, or under the staged name it was written as."""
    folder, name = os.path.split(path)
    return path in synced or any(other.startswith(f"{folder}/{files.STAGING}{name}-") for other in synced)


def test_the_order_of_a_save_is_durable(tmp_path):
    assert order_faults(tmp_path / "run", "lora") == []


@pytest.mark.parametrize("mutant", ["no file sync", "no folder sync"])
def test_a_writer_that_does_not_sync_is_caught(tmp_path, monkeypatch, mutant):
    """Negative control: a kill cannot show a missing sync, the order of calls can."""
    if mutant == "no folder sync":
        monkeypatch.setattr(files, "sync_folder", lambda folder: None)
    else:
        monkeypatch.setattr(files.Disk, "fsync", lambda self, descriptor: os.fsync(descriptor) if os.path.isdir(f"/proc/self/fd/{descriptor}") else None)
    assert order_faults(tmp_path / "run", "lora")
