"""Answers of an earlier run, where the same contestant was asked the same: a second method on the same rows need not wait for the baselines again.

Only those who need no training and sit on this machine are lent, and only while nothing that decides an answer, or its time, has changed: rows,
splits, base and its number type, task, settings of evaluation and retrieval, seed, threads, machine, libraries and Luthier's own code.
"""
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from luthier.evaluation.contestants import CONTESTANTS, after_training
from luthier.files import digest
from luthier.models.language_model import LanguageModel
from luthier.models.machine import machine
from luthier.preparation.cache import code_hash
from luthier.runs.folder import Run, runs_root
from luthier.tasks.answers import Answer


def same_asking(recipe, task, data_fingerprint: str, language_model: LanguageModel, others: str, versions: dict) -> str:
    """Hash of all that decides what contestants without training answer, and how fast."""
    here, head = machine(), language_model.head
    numbers = [next(language_model.network.parameters()).dtype, head.autocast, language_model.context, torch.get_num_threads(), recipe.seed]
    place = [platform.node(), platform.machine(), here.device, here.accelerator_name, here.cores, here.bf16]
    asked = recipe.evaluation
    settings = [recipe.data, recipe.retrieval, task, asked.shots, asked.shots_by, asked.instructions, asked.max_rows, asked.max_new_tokens]
    return digest(data_fingerprint, language_model.fingerprint, others, *map(repr, [*numbers, *place, *settings]), json.dumps(versions, sort_keys=True), code_hash(Path(__file__).parents[1]))


def may_lend(name: str) -> bool:
    """Whether a contestant's answers outlive its run: nothing that is trained, and nobody outside, who may change from one day to the next."""
    return not after_training(name) and "endpoint" not in CONTESTANTS[name].needs


def lent(run: Run, name: str, key: str, rows: int) -> tuple[list[Answer], dict] | None:
    """Answers under the same key from another run of the same folder, with that run's name as `lender`; None where there are none that are whole."""
    for path in sorted(runs_root().glob(f"*/evaluation/{name}.answers.jsonl")):
        lender = path.parent.parent
        if lender.name != run.name and (found := read(path, key, rows)) is not None:
            answers, made = found
            return answers, made | {"lender": lender.name}
    return None


def read(path: Path, key: str, rows: int) -> tuple[list[Answer], dict] | None:
    """A file's answers and how they were made, if its first line has the key and every answer is there; what was lent already is not lent on."""
    try:
        with open(path, encoding="utf-8") as stream:
            head = json.loads(stream.readline())
            if head["asking"] != key or "lender" in head:
                return None
            answers: Sequence[Answer] = [Answer(**json.loads(line)) for line in stream]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (list(answers), {name: value for name, value in head.items() if name not in ("key", "asking")}) if len(answers) == rows else None
