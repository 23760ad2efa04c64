"""Killed at any moment and resumed, a run ends with the same bits: weights, optimizer, log.

Trials fork from this warm process, so that a trial costs a second and not the import of every library; one trial is a process of its own.
"""
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from fruits import assert_same, fruit

from luthier.errors import CheckpointError, LuthierError
from luthier.runs.folder import Run
from luthier.training import checkpoint
from luthier.verbs.train import train

TRIALS = 10
SEED = 2024
FORK = multiprocessing.get_context("fork")


def recipe(base, chats, **changes):
    """LoRA with dropout, accumulation, shuffling, warm-up and cosine."""
    return {
        "model": str(base), "task": "chat", "method": {"name": "lora", "rank": 4, "dropout": 0.2}, "data.train": str(chats),
        "training.epochs": 3.0, "training.batch_size": 8, "training.tokens_per_micro_batch": 64, "training.learning_rate": 5e-3, "training.warmup": 0.2,
        "training.precision": "fp32", "training.threads": 1, "training.evaluate_every": 9, "training.save_every": 3, "training.validation_rows": 4,
        "evaluation.contestants": ["majority", "tuned"], "evaluation.max_new_tokens": 8, "evaluation.resamples": 200, **changes,
    }


def child(values, target, resume, name):
    """Run in a forked process: its exit code is the error's."""
    torch.set_num_threads(1)
    try:
        train(target, values, resume=resume, name=name)
    except LuthierError as error:
        sys.stderr.write(f"{error.code} {error.message}\n")
        os._exit(error.exit_code)
    os._exit(0)


def start(values, target, *, resume=None, name=""):
    process = FORK.Process(target=child, args=(values, target, resume, name))
    process.start()
    return process


def finished(values, target, **how):
    process = start(values, target, **how)
    process.join()
    return process.exitcode


@pytest.fixture(autouse=True)
def without_the_fresh_process(monkeypatch):
    """The save-and-reload check starts a process that imports every library; it has tests of its own, and the last test here runs it."""
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


@pytest.fixture
def unbroken(base, chats, here):
    began = time.perf_counter()
    assert finished(recipe(base, chats), chats, name="unbroken") == 0
    return fruit(Run(here / "runs" / "unbroken")), time.perf_counter() - began


@pytest.mark.parametrize("trials", [TRIALS, pytest.param(100, marks=pytest.mark.nightly)])
def test_killed_at_random_moments_and_resumed(base, chats, here, unbroken, trials, record_property):
    wanted, seconds = unbroken
    draw, same, interrupted = random.Random(SEED), 0, 0
    for trial in range(trials):
        name = f"trial-{trial}"
        process = start(recipe(base, chats), chats, name=name)
        process.join(draw.uniform(0.05, 1.0) * seconds)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        run = Run(here / "runs" / name)
        if not (run.path / "luthier.yaml").exists():
            assert finished(recipe(base, chats), chats, name=name + "-again") == 0  # killed before the run was written down
            run = Run(here / "runs" / f"{name}-again")
        elif run.status() != "done":
            interrupted += 1
            assert finished({}, None, resume=name) == 0
        assert_same(wanted, fruit(run))
        same += 1
    record_property("figure", ("A-1", f"killed at a random moment and resumed: the same bits (seed {SEED})", f"{same} of {trials}, {interrupted} of them in the middle"))
    assert interrupted >= trials // 3


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.nightly)])
def test_two_runs_are_the_same_bits(base, chats, here, unbroken, times, record_property):
    for number in range(times):
        assert finished(recipe(base, chats), chats, name=f"again-{number}") == 0
        assert_same(unbroken[0], fruit(Run(here / "runs" / f"again-{number}")))
    record_property("figure", ("A-13", "the same recipe again: the same bits", f"{times} of {times}"))


def test_the_resolved_recipe_repeats_the_run(base, chats, here, unbroken):
    assert finished({}, here / "runs" / "unbroken" / "config.resolved.yaml", name="repeated") == 0
    assert_same(unbroken[0], fruit(Run(here / "runs" / "repeated")))


def test_another_seed_is_another_run(base, chats, here, unbroken):
    """Negative control: the comparison above can tell runs apart."""
    assert finished(recipe(base, chats, seed=99), chats, name="other") == 0
    with pytest.raises(AssertionError):
        assert_same(unbroken[0], fruit(Run(here / "runs" / "other")))


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_run_goes_on(base, chats, here, unbroken, number, code):
    process = start(recipe(base, chats), chats, name="stopped")
    log = here / "runs" / "stopped" / "metrics.jsonl"
    while not log.exists() or '"train"' not in log.read_text():
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.join()
    run = Run(here / "runs" / "stopped")
    assert process.exitcode == code
    assert run.status() == "stopped" and (run.path / "report.html").exists()
    steps = [row["step"] for row in run.rows("metrics.jsonl") if row["kind"] == "train"]
    assert json.loads((run.path / "last.json").read_text())["step"] == steps[-1], "nothing that was done is lost"
    assert finished({}, None, resume="stopped") == 0
    assert_same(unbroken[0], fruit(run))


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_leaves_at_once_and_the_run_goes_on(base, chats, here, unbroken, monkeypatch, number, code):
    """A save that takes its time is not waited for, and leaves nothing that resuming trips over."""
    real = checkpoint.save

    def slow(*arguments):
        (here / "saving").touch()
        time.sleep(60)
        return real(*arguments)

    values = recipe(base, chats)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", slow)
        process = start(values, chats, name="impatient")
    while not (here / "saving").exists():
        time.sleep(0.01)
    os.kill(process.pid, number)
    time.sleep(0.2)
    assert process.is_alive(), "the first signal waits for the save"
    began = time.perf_counter()
    os.kill(process.pid, number)
    process.join(20)
    assert process.exitcode == code and time.perf_counter() - began < 2
    assert finished(values, chats, resume="impatient") == 0
    assert_same(unbroken[0], fruit(Run(here / "runs" / "impatient")))


def test_changed_data_and_changed_recipe_are_told_field_by_field(base, chats, here):
    values = recipe(base, chats, **{"training.max_steps": 6})
    process = start(values, chats, name="first")
    log = here / "runs" / "first" / "last.json"
    while not log.exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.raises(CheckpointError) as changed_rate:
        train(None, {"training.learning_rate": 1e-4}, resume="first")
    assert "training.learning_rate: was 0.005, is 0.0001" in changed_rate.value.message and changed_rate.value.exit_code == 7
    chats.write_text(chats.read_text().replace("the violin is here", "the violin is there"))
    with pytest.raises(CheckpointError) as changed_data:
        train(None, {}, resume="first")
    assert "data: was" in changed_data.value.message


def test_an_allowed_change_goes_on_and_is_told(base, chats, here, unbroken):
    """A lower rate from the middle on: allowed by name only, said with its step, and other weights come out."""
    process = start(recipe(base, chats), chats, name="changed")
    log = here / "runs" / "changed" / "metrics.jsonl"
    while not log.exists() or log.read_text().count('"train"') < 4:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.raises(CheckpointError, match="training.learning_rate: was") as refused:
        train(None, {"training.learning_rate": 1e-3, "training.weight_decay": 0.1}, resume="changed", allow_change=["training.weight_decay"])
    assert refused.value.exit_code == 7 and "--allow-change training.learning_rate" in refused.value.hint
    with pytest.raises(LuthierError, match="allows nothing") as idle:
        train(None, {"training.learning_rate": 1e-3}, resume="changed", allow_change=["training.learning_rate", "training.clip"])
    assert idle.value.exit_code == 2
    train(None, {"training.learning_rate": 1e-3}, resume="changed", allow_change=["training.learning_rate"])
    run = Run(here / "runs" / "changed")
    told = [row["message"] for row in run.rows("events.jsonl")]
    assert any("training.learning_rate: was 0.005, is 0.001" in message for message in told) and any("schedule that ends at step" in message for message in told)
    with pytest.raises(AssertionError):
        assert_same(unbroken[0], fruit(run))
    with pytest.raises(LuthierError, match="resumed"):
        train(chats, recipe(base, chats), allow_change=["training.learning_rate"])


def test_a_loss_that_does_not_repeat_is_refused(base, chats, here):
    """The stored loss of the next step is an oracle; a log that says otherwise stops the run before anything is saved."""
    process = start(recipe(base, chats), chats, name="odd")
    log = here / "runs" / "odd" / "metrics.jsonl"
    while not log.exists() or log.read_text().count('"train"') < 5:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    last = json.loads((here / "runs" / "odd" / "last.json").read_text())["step"]
    rows = [row for row in Run(here / "runs" / "odd").rows("metrics.jsonl") if row["step"] <= last]
    rows.append({"kind": "train", "step": last + 1, "loss": 1.25})
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CheckpointError, match=f"loss of step {last + 1}"):
        train(None, {}, resume="odd")
    assert json.loads((here / "runs" / "odd" / "last.json").read_text())["step"] == last, "nothing was saved"


def test_two_processes_in_one_folder(base, chats, here):
    process = start(recipe(base, chats), chats, name="shared")
    while not (here / "runs" / "shared" / "data").exists():
        time.sleep(0.01)
    with pytest.raises(LuthierError) as refused:
        train(None, {}, resume="shared")
    assert refused.value.exit_code == 8 and str(process.pid) in refused.value.message
    process.join()
    assert process.exitcode == 0


def test_a_process_of_its_own(base, chats, here, unbroken):
    """The command line itself, killed with SIGKILL once steps are made, then `luthier train --resume`."""
    words = [f"{key}={json.dumps(value) if isinstance(value, (dict, list)) else value}" for key, value in recipe(base, chats).items() if key != "method"]
    words += ["method=lora", "method.rank=4", "method.dropout=0.2"]
    command = [sys.executable, "-m", "luthier", "train", "--name", "own"]
    process = subprocess.Popen([*command, str(chats), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = here / "runs" / "own" / "metrics.jsonl"
    while process.poll() is None and (not log.exists() or log.read_text().count('"train"') < 4):
        time.sleep(0.02)
    assert process.poll() is None, process.stderr.read().decode()
    process.kill()
    process.wait()
    resumed = subprocess.run([sys.executable, "-m", "luthier", "train", "--resume", "own", "--json"], capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["status"] == "done"
    assert_same(unbroken[0], fruit(Run(here / "runs" / "own")))
