"""A new objective, method and task is one new file and one line in one existing file each: added to a scratch copy of the package and trained there."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import luthier

PACKAGE = Path(luthier.__file__).parent

OBJECTIVE = '''
"""Half the cross-entropy: a toy."""
from dataclasses import dataclass
from typing import ClassVar

from luthier.objectives.sft import PreparedSFT


@dataclass
class Halved:
    """Half of everything."""

    name: ClassVar[str] = "halved"
    record: ClassVar[type | None] = None
    rate_factor: ClassVar[float] = 1.0
    examples_a_unit: ClassVar[int] = 1
    learns_tokens: ClassVar[bool] = True
    share: float = 0.5
    """Factor on the loss."""

    def lesson(self, task):
        return task

    def prepared(self, materials):
        return PreparedHalved(materials.head, materials.steps, materials=materials, share=self.share)


@dataclass
class PreparedHalved(PreparedSFT):
    share: float = 0.5

    def loss(self, network, batch):
        loss = super().loss(network, batch)
        loss.total = loss.total * self.share
        return loss
'''

METHOD = '''
"""Only the vectors (norms) are learned: a toy."""
from dataclasses import dataclass
from typing import ClassVar

from luthier.methods.full import Full


@dataclass
class Norms(Full):
    """Learns the norms."""

    name: ClassVar[str] = "norms"
    rate: float = 1e-2
    """Default learning rate."""

    def apply(self, language_model):
        for parameter in language_model.network.parameters():
            parameter.requires_grad_(parameter.ndim == 1)
        return language_model.network

    def default_learning_rate(self, num_parameters):
        return self.rate, "a toy"
'''

TASK = '''
"""Write the label in capitals: a toy."""
from dataclasses import dataclass
from typing import ClassVar

from luthier.data.records import Conversation, Labelled, Message
from luthier.metrics import text
from luthier.tasks.chat import PreparedChat


@dataclass
class Shout:
    """Learns to shout a label."""

    name: ClassVar[str] = "shout"
    record: ClassVar[type] = Labelled
    headline: ClassVar[str] = "rouge_l"
    writes: ClassVar[bool] = True

    def prepared(self, *, labels, max_new_tokens):
        return PreparedShout(max_new_tokens)

    def head(self, kind):
        return "causal"

    def contestants(self, kind):
        return ("base", "tuned")

    def identity(self, record):
        return record.text


@dataclass
class PreparedShout(Shout):
    max_new_tokens: int = 8

    def said(self, record):
        return Conversation((Message("user", record.text), Message("assistant", record.label.upper())))

    def examples(self, records, renderer):
        return renderer.conversations([self.said(record) for record in records])

    def answers(self, language_model, renderer, records, *, shots=None, say=None):
        return PreparedChat(max_new_tokens=self.max_new_tokens).answers(language_model, renderer, [self.said(record) for record in records])

    def target(self, record):
        return record.label.upper()

    def question(self, record):
        return record.text

    def score(self, answers, records):
        return {"rouge_l": text.rouge_l([self.target(record) for record in records], [answer.text for answer in answers])}
'''

ADDED = {"objectives": ("halved", "Halved", OBJECTIVE), "methods": ("norms", "Norms", METHOD), "tasks": ("shout", "Shout", TASK)}


def add(copy: Path, folder: str, name: str, cls: str, source: str) -> list[str]:
    """Write the member's file and its entry in the folder's dict; returns the existing files that changed."""
    (copy / folder / f"{name}.py").write_text(source.lstrip())
    index = copy / folder / "__init__.py"
    text = index.read_text()
    position = text.rindex("}")
    comma = "" if text[:position].rstrip().endswith((",", "{")) else ", "
    index.write_text(f"from luthier.{folder}.{name} import {cls}\n" + text[:position] + f'{comma}"{name}": {cls}' + text[position:])
    return [f"{folder}/__init__.py"]


def test_members_are_added_by_one_file_and_one_line(base, tickets, here):
    copy = here / "scratch" / "luthier"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    changed = {folder: add(copy, folder, *member) for folder, member in ADDED.items()}
    print("existing files changed per member:", {folder: len(files) for folder, files in changed.items()})
    assert all(len(files) <= 2 for files in changed.values())
    words = ["task=shout", "method=norms", "objective=halved", f"model={base}", "training.max_steps=6", "training.threads=1", "evaluation.resamples=200"]
    environment = {**os.environ, "PYTHONPATH": str(here / "scratch"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "luthier", "train", str(tickets), *words, "--json", "--name", "toy"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["verdict"]["metric"] == "rouge_l"
    run = here / "runs" / "toy"
    facts = json.loads((run / "run.json").read_text())
    assert (facts["task"], facts["method"], facts["objective"]) == ("shout", "norms", "halved")
    losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines() if '"train"' in line]
    assert len(losses) == 6 and losses[0] < 3.5, "half of ln 320 = 2.9: the toy objective really was used"
