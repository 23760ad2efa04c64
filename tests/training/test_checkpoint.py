"""Checkpoints: what is damaged is passed over by name, what is non-finite is never written, a failed write leaves the older one."""
import errno
import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from luthier import files
from luthier.errors import CheckpointError, DiskError, NonFinite
from luthier.training import checkpoint
from luthier.training.checkpoint import State


def weights(scale=1.0):
    generator = torch.Generator().manual_seed(0)
    return {"a": scale * torch.randn(20, 30, generator=generator), "b": torch.arange(7.0)}


def saved(root: Path, step: int, **changes) -> Path:
    state = State(step, step, 10.0 * step, identity={"data": "x"})
    return checkpoint.save(root, state, changes.get("weights", weights(step)), {"a/exp_avg": torch.ones(3)}, {"log_history": []})


def test_round_trip(tmp_path):
    folder = saved(tmp_path, 5)
    found, state, passed = checkpoint.newest(tmp_path)
    assert (found, state.step, state.learned, passed) == (folder, 5, 50.0, [])
    tensors, moments = checkpoint.tensors_of(folder)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in weights(5).items()) and torch.equal(moments["a/exp_avg"], torch.ones(3))
    assert json.loads((tmp_path / "last.json").read_text())["step"] == 5


@pytest.mark.parametrize("name", sorted([*checkpoint.FILES, "manifest.json"]))
@pytest.mark.parametrize("keep", ["nothing", "one byte", "half", "all but one"])
def test_a_truncated_file_is_found_and_the_older_taken(tmp_path, name, keep):
    saved(tmp_path, 1)
    newer = saved(tmp_path, 2)
    data = (newer / name).read_bytes()
    (newer / name).write_bytes(data[: {"nothing": 0, "one byte": 1, "half": len(data) // 2, "all but one": len(data) - 1}[keep]])
    found, state, passed = checkpoint.newest(tmp_path)
    # a manifest cut by its final newline is still whole JSON, and every file still matches it
    if name == "manifest.json" and keep == "all but one":
        assert state.step == 2
    else:
        assert state.step == 1 and len(passed) == 1 and name in passed[0]


@pytest.mark.parametrize("trials", [120, pytest.param(1000, marks=pytest.mark.nightly)])
def test_every_flipped_bit_is_found(tmp_path, trials, record_property):
    folder = saved(tmp_path, 1)
    draw, found = random.Random(7), 0
    for _ in range(trials):
        name = draw.choice(sorted([*checkpoint.FILES, files.MANIFEST]))
        data = bytearray((folder / name).read_bytes())
        place, bit = draw.randrange(len(data)), draw.randrange(8)
        data[place] ^= 1 << bit
        (folder / name).write_bytes(data)
        with pytest.raises(CheckpointError) as error:
            checkpoint.checked(folder)
        found += name in error.value.message
        data[place] ^= 1 << bit
        (folder / name).write_bytes(data)
    record_property("figure", ("B-6", "a flipped bit anywhere in a checkpoint is found and its file named", f"{found} of {trials}"))
    assert found == trials
    assert checkpoint.checked(folder).step == 1


def test_missing_extra_renamed_and_foreign_files(tmp_path):
    first, second = saved(tmp_path, 1), saved(tmp_path, 2)
    (second / "surplus.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="surplus.bin"):
        checkpoint.checked(second)
    (second / "surplus.bin").unlink()
    shutil.copy(first / "weights.safetensors", second / "weights.safetensors")
    with pytest.raises(CheckpointError, match="weights.safetensors"):
        checkpoint.checked(second)
    (second / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        checkpoint.checked(second)
    first.rename(tmp_path / "checkpoint-9")
    with pytest.raises(CheckpointError, match="renamed"):
        checkpoint.checked(tmp_path / "checkpoint-9")
    with pytest.raises(CheckpointError, match="no valid checkpoint") as none_left:
        checkpoint.newest(tmp_path)
    assert none_left.value.exit_code == 7


def test_without_verification_a_flipped_bit_would_pass(tmp_path, monkeypatch):
    """Negative control: the tensor format alone accepts changed weights."""
    folder = saved(tmp_path, 1)
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 64
    (folder / "weights.safetensors").write_bytes(data)
    monkeypatch.setattr(checkpoint, "verify", lambda folder: json.loads((folder / "manifest.json").read_text()))
    assert checkpoint.checked(folder).step == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_weights_are_never_written(tmp_path, bad):
    saved(tmp_path, 1)
    spoiled = weights()
    spoiled["b"][3] = bad
    with pytest.raises(NonFinite, match="b"):
        saved(tmp_path, 2, weights=spoiled)
    assert [folder.name for folder in checkpoint.all_checkpoints(tmp_path)] == ["checkpoint-1"]


class Failing(files.Disk):
    """Fails at the n-th primitive operation, as a full or broken disk would."""

    def __init__(self, at: int, number: int):
        self.left, self.number = at, number

    def count(self):
        self.left -= 1
        if self.left == 0:
            raise OSError(self.number, os.strerror(self.number))

    def write(self, descriptor, data):
        self.count()
        super().write(descriptor, data)

    def fsync(self, descriptor):
        self.count()
        super().fsync(descriptor)

    def rename(self, source, target):
        self.count()
        super().rename(source, target)

    def replace(self, source, target):
        self.count()
        super().replace(source, target)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_fault_at_any_operation_keeps_the_older_checkpoint(tmp_path, monkeypatch, number):
    saved(tmp_path, 1)
    faults = 0
    for at in range(1, 200):
        monkeypatch.setattr(files, "disk", Failing(at, number))
        try:
            saved(tmp_path, 2)
        except DiskError as error:
            assert error.exit_code == 6
            faults += 1
            monkeypatch.setattr(files, "disk", files.Disk())
            found, state, _ = checkpoint.newest(tmp_path)
            assert state.step in (1, 2)
            assert not [path for path in tmp_path.iterdir() if path.name.startswith(files.STAGING)]
            shutil.rmtree(tmp_path / "checkpoint-2", ignore_errors=True)
            continue
        break
    print(f"{faults} operations of a save, each failed once with {errno.errorcode[number]}")
    assert faults >= 10
    assert checkpoint.newest(tmp_path)[1].step == 2


def test_pruning_keeps_the_best_and_the_newest(tmp_path):
    for step in range(1, 7):
        saved(tmp_path, step)
    checkpoint.point(tmp_path, "best", tmp_path / "checkpoint-2", 2, 0.5)
    checkpoint.prune(tmp_path, 2)
    assert [folder.name for folder in checkpoint.all_checkpoints(tmp_path)] == ["checkpoint-6", "checkpoint-5", "checkpoint-2"]


def test_differences_name_every_field():
    assert checkpoint.differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b: was 2, is 3", "c: was None, is 4"]
