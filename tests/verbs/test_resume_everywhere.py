"""Killed and resumed, every (task, method, family) ends with the same bits: a few that cover all methods and tasks in seconds, all pairs of the three by

    pytest -m nightly tests/verbs/test_resume_everywhere.py -s

Each cell is trained three times on a tiny network: unbroken, killed with SIGKILL between two checkpoints, and resumed from the last of them.
"""
import functools
import itertools
import json
import multiprocessing
import os
import random
import signal

import pytest
import torch
from fruits import assert_same, fruit
from tests_shared import changed

from luthier.methods import METHODS
from luthier.models.families import FAMILIES, MEMBERS
from luthier.runs.folder import Run
from luthier.tasks import TASKS
from luthier.verbs import pairs, training
from luthier.verbs.train import train

FORK = multiprocessing.get_context("fork")
STEPS, SAVED, SEED = 6, 2, 5
FOLDERS = {"deberta-v2": "deberta", "deberta": "deberta_v1"}
"""Architectures whose tiny network has another name."""
RATES = {"full": 1e-3, "layers": 1e-3, "lora": 1e-2, "dora": 1e-2, "qlora": 1e-2, "adapter": 1e-2, "ia3": 2e-2, "prefix": 1e-2, "prompt": 2e-2}
WITH_DROPOUT = ("lora", "dora", "qlora", "adapter")


# ---- which -----------------------------------------------------------------------------------------
@functools.cache
def legal() -> list[tuple[str, str, str]]:
    """Legal triples, one architecture for each family, whose position decides nothing but the network's code."""
    first = {family.model_types[0] for family in MEMBERS}
    return [triple for triple in pairs.triples() if triple[2] in first]


def couples(triple: tuple) -> set:
    return set(itertools.combinations(enumerate(triple), 2))


@functools.cache
def covering() -> list[tuple[str, str, str]]:
    """Greedily few triples in which every legal couple of task and method, task and family, method and family stands."""
    left, chosen = list(legal()), []
    open_couples = set().union(*map(couples, left))
    while open_couples:
        best = max(left, key=lambda triple: (len(couples(triple) & open_couples), triple))
        chosen.append(best)
        left.remove(best)
        open_couples -= couples(best)
    return chosen


@functools.cache
def quick() -> list[tuple[str, str, str]]:
    """So few that every method and every task stands in one, on as many families as there are."""
    chosen, methods, tasks, families = [], set(), set(), set()
    for triple in random.Random(SEED).sample(covering(), len(covering())):
        task, method, family = triple
        if method not in methods and (task not in tasks or tasks == set(TASKS)) and family not in families:
            chosen.append(triple)
            methods.add(method), tasks.add(task), families.add(family)
    return chosen


# ---- what it learns --------------------------------------------------------------------------------
def rows(task: str) -> list[dict]:
    """Forty rows for a task."""
    colours = ["red", "blue", "green", "black"]
    found = []
    for number in range(40):
        colour, text = colours[number % 4], f"the {colours[number % 4]} flute {number} is here"
        found.append({
            "chat": {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": colour}]},
            "classification": {"text": text, "label": colour},
            "regression": {"text": text, "score": float(number % 4)},
            "token_classification": {"tokens": text.split(), "tags": ["O", "B-colour", "B-thing", *["O"] * 3]},
            "seq2seq": {"source": text, "target": colour},
            "masked_lm": {"text": text},
            "causal_lm": {"text": text},
        }[task])
    return found


def recipe(folder, data, task: str, method: str, architecture: str) -> dict:
    # experts that share one tensor know no dropout
    how = {"name": method, "dropout": 0.2} if method in WITH_DROPOUT and not FAMILIES[architecture].experts else {"name": method}
    return {
        "model": str(folder), "task": task, "method": how, "data.train": str(data), "data.test": 0, "data.validation": 0.2, "training.max_steps": STEPS, "training.epochs": 9,
        "training.batch_size": 8, "training.tokens_per_micro_batch": 96, "training.learning_rate": RATES[method], "training.warmup": 0.3, "training.precision": "fp32",
        "training.threads": 1, "training.evaluate_every": 4, "training.save_every": SAVED, "training.validation_rows": 2, "evaluation.max_new_tokens": 4,
    }


# ---- killed ----------------------------------------------------------------------------------------
def killed_after(data, values: dict, step: int, name: str) -> None:
    """In a forked process: this step is made and written down, and the process is no more."""
    torch.set_num_threads(1)
    after = training.Trainer.after

    def last(self, made) -> None:
        after(self, made)
        if made.number == step:
            os.kill(os.getpid(), signal.SIGKILL)

    training.Trainer.after = last
    train(data, values, name=name)


def hold(cell: tuple[str, str, str], folder, here) -> None:
    """The contract of one cell."""
    task, method, architecture = cell
    name = "-".join(cell)
    data = here / f"{task}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows(task)))
    values = recipe(folder, data, task, method, architecture)
    train(data, values, name=f"{name}-unbroken")
    step = random.Random(name).choice([3, 5])
    process = FORK.Process(target=killed_after, args=(data, values, step, f"{name}-killed"))
    process.start()
    process.join()
    runs = [Run(here / "runs" / f"{name}-{how}") for how in ("unbroken", "killed")]
    assert process.exitcode == -signal.SIGKILL, f"the process ended by itself with {process.exitcode}"
    steps = [row["step"] for row in runs[1].rows("metrics.jsonl") if row["kind"] == "train"]
    assert steps[-1] == step and json.loads((runs[1].path / "last.json").read_text())["step"] == step - 1, steps
    train(None, {}, resume=runs[1].name)
    assert_same(*map(fruit, runs))
    kept = [sorted((path.name, path.read_bytes()) for path in run.model_folder.glob("*.safetensors")) for run in runs]
    assert kept[0] == kept[1] and kept[0], "the saved model differs"


def walk(cells, tiny_model, here) -> list[str]:
    """What does not keep the contract, in words."""
    wrong = []
    for number, cell in enumerate(cells):
        folder = tiny_model(FOLDERS.get(cell[2], cell[2]))
        if cell[0] == "masked_lm":
            folder = changed(folder, here / str(number), tokenizer={"mask_token": "<|end|>"})
        try:
            hold(cell, folder, here)
        except Exception as error:
            wrong.append(f"{cell}: {type(error).__name__}: {str(error)[:300]}")
    return wrong


@pytest.fixture(autouse=True)
def one_thread_and_no_fresh_process(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def test_the_covering_set_covers():
    every, chosen = legal(), covering()
    assert {family.model_types[0] for family in MEMBERS} == {family for *_, family in every}
    assert set().union(*map(couples, every)) == set().union(*map(couples, chosen)) and len(chosen) < len(every) / 2
    assert {method for _, method, _ in quick()} == set(METHODS) and {task for task, *_ in quick()} == set(TASKS)


def test_every_method_and_task_goes_on_with_the_same_bits(tiny_model, here):
    wrong = walk(quick(), tiny_model, here)
    assert not wrong, "\n".join(wrong)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(6))
def test_every_couple_goes_on_with_the_same_bits(part, tiny_model, here):
    chosen = covering()[part::6]
    wrong = walk(chosen, tiny_model, here)
    print(f"\npart {part + 1} of 6: {len(chosen) - len(wrong)} of {len(chosen)} triples killed and resumed bit for bit; {len(covering())} cover all couples of {len(legal()):,}")
    assert not wrong, "\n".join(wrong)


def test_a_lost_optimizer_is_seen(tiny_model, here, monkeypatch):
    """The guard of the guards: a resume that forgets the moments of the optimizer ends with other bits."""
    monkeypatch.setattr("luthier.training.optimizer.load_state", lambda *_: None)
    wrong = walk([("chat", "lora", "llama")], tiny_model, here)
    assert len(wrong) == 1 and "lora" in wrong[0], wrong
