"""Resumed at any kind of moment, a run deals out the batches it would have dealt out and ends with the same bits.

The real order, loop, Trainer and writer around toy networks. A run dies (an exception that nothing catches, so that nothing is saved on the way
out) in the first or the second micro-batch of every step, or between a step's row in the log and its checkpoint.
"""
import errno
import itertools
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from luthier import files
from luthier.errors import CheckpointError, DiskError
from luthier.objectives.loss import Loss
from luthier.preparation.order import Order
from luthier.runs.folder import Run, tidy
from luthier.training import checkpoint, loop
from luthier.training.settings import TrainingSettings
from luthier.verbs import training
from luthier.verbs.stopping import Stopping
from luthier.verbs.training import COLUMNS, Look, Trainer

LENGTHS = np.random.default_rng(3).integers(3, 10, 14)
EPOCHS, BATCH, WARMUP = 2, 4, 3


class Died(BaseException):
    """Nothing catches it."""


class Packed(nn.Module):
    """Frozen whole numbers that are spread out when they are used, with a thin learned product beside them: what QLoRA leaves the writer to write."""

    def __init__(self):
        super().__init__()
        self.register_buffer("packed", torch.randint(-8, 8, (4, 4), dtype=torch.int8))
        self.thin_in, self.thin_out, self.dropout = nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False), nn.Dropout(0.3)

    def forward(self, value):
        return value @ (0.1 * self.packed.float()).t() + self.thin_out(self.dropout(self.thin_in(value)))


class Adapted(Packed):
    """The same with frozen numbers in full precision."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        del self.packed

    def forward(self, value):
        return self.frozen(value) + self.thin_out(self.dropout(self.thin_in(value)))


NETWORKS = {"full": lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3), nn.Linear(4, 4)), "lora": Adapted, "qlora": Packed}


class Part:
    """A micro-batch: its rows, and numbers made from them."""

    def __init__(self, rows):
        self.rows = rows
        self.value = torch.tensor([[float(np.cos(index + at)) for at in range(4)] for row in rows for index in row])


class Dealing:
    """The real order; dies where it is told to, and remembers what it dealt."""

    def __init__(self, order: Order, dies: tuple[int, int] | None = None):
        self.order, self.dies, self.dealt, self.at = order, dies, [], (0, 0)

    def batches(self, network, start):
        for number in itertools.count(start):
            parts = [Part(rows) for rows in self.order.step(number)]
            self.places = iter([(number + 1, index) for index in range(len(parts))])
            yield parts

    def loss(self, network, part):
        place = next(self.places)
        if place == self.dies:
            raise Died
        self.dealt.append((*place, part.rows))
        return Loss((network(part.value) - 1).square().sum(), float(part.value.numel()), len(part.value))


def order_of(**changes) -> Order:
    return Order(LENGTHS, **{"batch_size": BATCH, "tokens_per_micro_batch": 10, "seed": 11, "packing": False, "context": 12, **changes})


def work(root, kind, order, *, dies=None, dies_unsaved=None) -> list:
    """Go on from where the folder stands; returns what was dealt."""
    root.mkdir(exist_ok=True)
    run = Run(root)
    tidy(run)
    torch.manual_seed(0)
    network = NETWORKS[kind]()
    steps = EPOCHS * order.steps_per_epoch
    settings = TrainingSettings(
        epochs=float(EPOCHS), learning_rate=0.05, batch_size=BATCH, tokens_per_micro_batch=16, packing=order.packing, precision="fp32", warmup=WARMUP,
        evaluate_every=100, save_every=1, keep_checkpoints=1, threads=1,
    )

    def say(event):
        if event.kind == "progress" and event.data["done"] == dies_unsaved:
            raise Died

    dealing = Dealing(order, dies)
    trainer = Trainer(
        run, network, {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}, dealing, settings, multiples={}, steps=steps, steps_per_epoch=order.steps_per_epoch, seed=5,
        identity={}, look=Look(lambda scores: (1.0, 1.0), lambda: {}), headline="", say=say,
    )
    if checkpoint.all_checkpoints(root):
        trainer.resume()
    else:
        run.keep_rows("metrics.jsonl", lambda row: False)
    try:
        trainer.go(Stopping())
    except Died:
        pass
    return dealing.dealt


def fruit(root) -> tuple:
    """The last weights and moments, and the log but for seconds."""
    last = root / json.loads((root / "last.json").read_text())["checkpoint"]
    tensors = {**load_file(last / "weights.safetensors"), **load_file(last / "optimizer.safetensors")}
    log = [{key: value for key, value in row.items() if key not in COLUMNS} for row in Run(root).rows("metrics.jsonl")]
    return {name: tensor.tolist() for name, tensor in tensors.items()}, log


def moments(order: Order) -> dict[str, dict]:
    """Every moment at which a run may die, by what it would be resumed as."""
    steps = EPOCHS * order.steps_per_epoch
    named = {
        "before the first step is whole": {"dies": (1, 1)}, "step 1": {"dies": (2, 0)}, "inside accumulation": {"dies": (3, 1)}, "end of the warm-up": {"dies": (WARMUP + 1, 0)},
        "before the end of an epoch": {"dies": (order.steps_per_epoch, 0)}, "end of an epoch": {"dies": (order.steps_per_epoch + 1, 0)},
        "after the end of an epoch": {"dies": (order.steps_per_epoch + 2, 0)}, "before the last step": {"dies": (steps, 0)}, "last step done, not saved": {"dies_unsaved": steps},
    }
    return named | {f"step {step} done, not saved": {"dies_unsaved": step} for step in range(1, steps)}


def broken_moments(tmp_path, kind, order) -> list[str]:
    """Moments after which a resumed run is not the unbroken one."""
    dealt = work(tmp_path / "unbroken", kind, order)
    wanted, wrong = fruit(tmp_path / "unbroken"), []
    for number, (name, how) in enumerate(moments(order).items()):
        root = tmp_path / str(number)
        before = work(root, kind, order, **how)
        assert len(before) < len(dealt) or "dies_unsaved" in how, "the run did not die"
        try:
            after = work(root, kind, order)
            same = after == dealt[len(dealt) - len(after) :] and fruit(root) == wanted
        except CheckpointError as error:  # the stored loss of the next step does not come out again
            assert error.code == "C106"
            same = False
        wrong += [] if same else [name]
    return wrong


@pytest.mark.parametrize("kind", NETWORKS)
def test_resumed_at_every_kind_of_moment(tmp_path, kind, record_property):
    order = order_of()
    assert order.steps_per_epoch == 4 and all(len(order.step(number)) > 1 for number in (0, 2))
    assert broken_moments(tmp_path, kind, order) == []
    record_property("figure", ("A-8", f"resumed at every kind of moment ({kind})", f"{len(moments(order))} of {len(moments(order))} the same bits"))


LAYOUTS = [dict(zip(("packing", "batch_size", "tokens_per_micro_batch"), values)) for values in itertools.product((False, True), (2, 4), (9, 16, 64))]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(str(value) for value in layout.values()))
def test_every_layout_of_batches_goes_on_where_it_was(tmp_path, layout):
    order = order_of(**layout)
    dealt = work(tmp_path / "unbroken", "full", order)
    last = EPOCHS * order.steps_per_epoch
    for step in (1, order.steps_per_epoch // 2 + 1, order.steps_per_epoch + 1, last):
        root = tmp_path / str(step)
        work(root, "full", order, dies=(step, 0))
        after = work(root, "full", order)
        assert after == [row for row in dealt if row[0] >= step] and fruit(root) == fruit(tmp_path / "unbroken")


# ---- a disk that fills ----------------------------------------------------------------------------
class Full(files.Disk):
    """Takes so many operations, and then none."""

    def __init__(self, room: int):
        self.room = room

    def spend(self):
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, descriptor, data):
        self.spend()
        super().write(descriptor, data)

    def fsync(self, descriptor):
        self.spend()
        super().fsync(descriptor)

    def rename(self, source, target):
        self.spend()
        super().rename(source, target)

    def replace(self, source, target):
        self.spend()
        super().replace(source, target)


class Counting(Full):
    """Counts what an unbroken run spends."""

    def __init__(self):
        self.room = 0

    def spend(self):
        self.room += 1


def test_a_disk_that_fills_stops_the_run_and_freed_it_goes_on(tmp_path, monkeypatch, record_property):
    order, counting = order_of(), Counting()
    monkeypatch.setattr(files, "disk", counting)
    work(tmp_path / "unbroken", "lora", order)
    wanted, points = fruit(tmp_path / "unbroken"), [counting.room * number // 20 for number in range(20)]
    for room in points:
        root = tmp_path / str(room)
        monkeypatch.setattr(files, "disk", Full(room))
        with pytest.raises(DiskError) as full:
            work(root, "lora", order)
        assert full.value.exit_code == 6 and "free" in full.value.message and str(root) in full.value.message
        monkeypatch.setattr(files, "disk", files.Disk())
        if checkpoint.all_checkpoints(root):
            checkpoint.newest(root)
        work(root, "lora", order)
        assert fruit(root) == wanted and not list(root.glob(f"{files.STAGING}*"))
    record_property("figure", ("B-1", "a disk that fills anywhere in a run: exit 6, older checkpoint whole, resumed to the same bits", f"{len(points)} of {len(points)}"))


def test_a_run_does_not_begin_where_two_checkpoints_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "free_bytes", lambda path: 100)
    with pytest.raises(DiskError) as short:
        work(tmp_path / "short", "full", order_of())
    assert (short.value.code, short.value.exit_code) == ("F105", 6) and "free are 100" in short.value.message
    assert not checkpoint.all_checkpoints(tmp_path / "short") and not Run(tmp_path / "short").rows("metrics.jsonl")


@pytest.mark.parametrize("mutant", ["data from the start", "noise of its own", "no warm-up on resume"])
def test_a_resume_that_forgets_something_is_caught(tmp_path, monkeypatch, mutant):
    """Negative control: each thing that a checkpoint's integers stand for, forgotten."""
    if mutant == "data from the start":
        monkeypatch.setattr(Dealing, "batches", (lambda real: lambda self, network, start: real(self, network, 0))(Dealing.batches))
    elif mutant == "noise of its own":
        monkeypatch.setattr(loop, "key_noise", lambda *_: None)
    else:
        monkeypatch.setattr(loop.Schedule, "rate", (lambda real: lambda self, updates: real(self, updates + self.__dict__.setdefault("drift", updates)))(loop.Schedule.rate))
    assert broken_moments(tmp_path, "full", order_of())
