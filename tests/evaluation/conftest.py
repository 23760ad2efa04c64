"""Run folders as a real run leaves them: one of classification, one of chat, one that failed."""
import json

import numpy as np
import pytest

from luthier.evaluation.results import Result, lines, table
from luthier.evaluation.verdict import verdict
from luthier.files import write_json
from luthier.metrics import classification, text
from luthier.tasks.answers import Answer

LABELS = ["bow rehair", "case", "delivery", "instrument hire", "lesson", "repair estimate", "strings", "tuning"]
OPENINGS = ["Hello,", "Good morning,", "Quick question:", "Hi there,", "Please help:", "Dear shop,"]
ASKS = {
    "bow rehair": "the hair of my cello bow is thin and slips, can you do it by Friday?",
    "case": "does the oblong case with the hygrometer fit a 16-inch viola?",
    "delivery": "my parcel with the rosin has been in transit for nine days",
    "instrument hire": "we would like to hire a half-size violin for the school year",
    "lesson": "is there a teacher on Saturdays for a complete beginner?",
    "repair estimate": "a seam opened on the lower bout, what would gluing it cost?",
    "strings": "which gut strings suit a bright 1920s instrument?",
    "tuning": "the pegs slip in winter and it goes flat within an hour",
}


class Origin:
    def __init__(self, line):
        self.file, self.line = "/home/somebody/data/tickets.csv", line


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def loss_rows(steps=702, look=78, per_epoch=234, overfit=True, headline="macro_f1"):
    random = np.random.default_rng(3)
    rows = [{"kind": "validation", "step": 0, "epoch": 0.0, "loss": 1.98, "metrics": {headline: 0.071}}]
    for step in range(1, steps + 1):
        clean = 0.09 + 1.7 * np.exp(-step / 130)
        rows.append(
            {
                "kind": "train", "step": step, "epoch": round(step / per_epoch, 4), "loss": float(clean * np.exp(random.normal(0, 0.22))),
                "gradient_norm": float(1.6 * np.exp(random.normal(0, 0.35)) * (0.4 + clean)), "learning_rate": 2e-4 * min(step / 35, (steps - step) / (steps - 35)),
                "learned": 96, "tokens": 1510, "finite": True, "seconds": 0.12, "tokens_per_second": 12580.0,
            }
        )
        if step % look == 0:
            late = max(0, step - 468) / 234
            loss = 0.33 + 1.5 * np.exp(-step / 110) + (0.05 * late if overfit else 0)
            rows.append({"kind": "validation", "step": step, "epoch": step / per_epoch, "loss": float(loss), "metrics": {headline: float(0.88 - 0.75 * np.exp(-step / 100) - 0.008 * late)}})
    return rows


def facts(name, task, **more):
    return {
        "name": name, "status": "done", "phase": "done", "created": 1795305600.0, "seconds": 249.3, "seed": 17, "task": task, "method": "lora", "objective": "sft",
        "versions": {"luthier": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2"},
        "machine": {"system": "Linux", "cores": 2, "memory_bytes": 8_000_000_000, "bf16": True, "accelerator": None},
        "data": {"fingerprint": "9f2c" * 16, "file": "/home/somebody/data/tickets.csv", "rows": {"train": 3744, "validation": 468, "test": 467}},
        "model": {"name": "spruce", "fingerprint": "51d0" * 16, "parameters": 7_340_032, "kind": "decoder", "license": "apache-2.0", "language": ["en"]},
        "command": "luthier train tickets.csv method.rank=16", "best_step": 468, "minimum_detectable": 0.031,
        "resolved": {"training.learning_rate": {"value": 2e-4, "reason": "LoRA on a base of 7 M parameters"}, "training.epochs": {"value": 3.0, "reason": "3,744 training examples"}},
        "loads_in": ["Luthier", "PEFT", "vLLM", "merged: anything"],
        "reload": {"sentence": "Loaded in a fresh process with stock PEFT: logits equal to 2e-7, and different from the base.", "max_difference": 2e-7, "changed": True},
        "cost": {"seconds": 249.3, "tokens": 1_060_020, "threads": 2},
        "planned": {"seconds": 240.0, "memory_bytes": 3_100_000_000}, "measured": {"seconds": 249.3, "memory_bytes": 2_960_000_000}, **more,
    }


def write_common(folder, name, task, rows, ledger, events, **more):
    write_json(folder / "run.json", facts(name, task, **more))
    write_lines(folder / "metrics.jsonl", rows)
    write_lines(folder / "events.jsonl", events)
    write_json(folder / "ledger.json", ledger)
    (folder / "data").mkdir()
    finding = {"code": "D203", "level": "warning", "message": "212 near-duplicate rows in 73 groups", "file": "/home/somebody/data/tickets.csv", "line": 911, "column": None, "count": 212}
    write_json(folder / "data" / "check.json", {"ok": True, "findings": [finding], "sources": {"train": {"name": "tickets.csv", "sha256": "ab" * 32}}, "fingerprint": "9f2c" * 16})
    (folder / "config.resolved.yaml").write_text(f"model: spruce\ntask: {{name: {task}}}\nmethod: {{name: lora, rank: 16}}\ntraining:\n  learning_rate: 0.0002\n  epochs: 3.0\nseed: 17\n")
    (folder / "luthier.yaml").write_text("model: spruce\n")
    checkpoint = folder / "checkpoint-468"
    checkpoint.mkdir()
    write_json(checkpoint / "manifest.json", {"files": {}})
    write_json(folder / "best.json", {"folder": "checkpoint-468", "step": 468, "loss": 0.331})


def conclude(folder, results, headline, questions, targets, **options):
    write_json(folder / "evaluation" / "results.json", table(results, headline=headline, resamples=400))
    for result in results:
        write_lines(folder / "evaluation" / f"{result.name}.jsonl", lines(result, headline=headline, questions=questions, targets=targets, origins=[Origin(n + 2) for n in range(len(targets))]))
    write_json(folder / "verdict.json", verdict(results, metric=headline, resamples=400, **options))


def make_labels(folder, count=467):
    (folder / "evaluation").mkdir(parents=True)
    random = np.random.default_rng(1)
    targets = [LABELS[index] for index in random.integers(0, 8, count)]
    questions = [f"{OPENINGS[random.integers(6)]} {ASKS[target]}" for target in targets]

    def result(name, skill, seconds, note):
        answers = []
        for target in targets:
            right = random.random() < skill
            near = LABELS[(LABELS.index(target) + (1 if random.random() < 0.6 else int(random.integers(8)))) % 8]
            label = target if right else near
            answers.append(Answer(label, label=label, probabilities={label: float(random.uniform(0.55, 0.99))}, nll=0.2, learned_tokens=3, tokens_in=41, tokens_out=3, seconds=seconds * random.uniform(0.7, 1.6)))
        return Result(name, answers, classification.scores(targets, [answer.label for answer in answers]), note)

    results = [
        result("majority", 0.0, 1e-6, "512 of 3,744 training answers"), result("nearest", 0.74, 1.3e-3, "3,744 training prompts"),
        result("tfidf", 0.845, 2.1e-4, "learned from 3,744 of 3,744 training rows"), result("base", 0.05, 0.011, "the base as it came"),
        result("few_shot", 0.31, 0.094, "at most 32 examples"), result("tuned", 0.925, 0.0123, "the tuned model"),
    ]
    conclude(folder, results, "macro_f1", questions, targets, notice="spruce is a demonstration base; for real use change one line: model: Qwen/Qwen3-0.6B")
    ledger = {
        "train": {"rows_in": 3890, "used": 3744, "left_out": {"exact duplicate": 139, "in the test file": 7}, "tokens": {"in": 160_000, "learned": 11_800, "context": 148_200, "cut": 0}},
        "validation": {"rows_in": 468, "used": 468, "left_out": {}, "tokens": {"in": 20_010, "learned": 1_490, "context": 18_520, "cut": 0}},
        "test": {"rows_in": 467, "used": 467, "left_out": {}, "tokens": {"in": 19_900, "learned": 1_470, "context": 18_430, "cut": 0}},
    }
    events = [
        {"time": 1.0, "kind": "phase", "message": "data", "data": {"name": "data"}},
        {"time": 2.0, "kind": "warning", "message": "validation rose after step 468 while training fell: overfitting. The best step is 468, and it is kept", "data": {"code": "T201", "step": 702}},
    ]
    write_common(folder, "quiet-otter", "classification", loss_rows(), ledger, events)
    return folder


WORDS = "the bow is ready on Friday and costs forty euro with new hair please bring your rosin we open at nine strings need a week to settle".split()


def make_chat(folder, count=60):
    (folder / "evaluation").mkdir(parents=True)
    random = np.random.default_rng(2)
    targets = [" ".join(random.choice(WORDS, random.integers(5, 26))).capitalize() + "." for _ in range(count)]
    questions = [f"user: {OPENINGS[index % 6]} {list(ASKS.values())[index % 8]}" for index in range(count)]

    def result(name, keep, seconds):
        answers = []
        for target in targets:
            words = [word if random.random() < keep else str(random.choice(WORDS)) for word in target.split()][: random.integers(4, 26)]
            answers.append(Answer(" ".join(words), nll=float(random.uniform(8, 60)), learned_tokens=30, tokens_in=88, tokens_out=len(words), seconds=seconds))
        return Result(name, answers, text.answers(targets, [answer.text for answer in answers]), "")

    results = [result("base", 0.1, 0.21), result("nearest", 0.45, 0.001), result("tuned", 0.7, 0.2)]
    conclude(folder, results, "rouge_l", questions, targets, times_evaluated=3)
    ledger = {"train": {"rows_in": 1200, "used": 1200, "left_out": {}, "tokens": {"in": 96_000, "learned": 40_100, "context": 55_000, "cut": 900}}}
    write_common(folder, "mellow-wren", "chat", loss_rows(steps=160, look=20, per_epoch=54, overfit=False, headline="rouge_l"), ledger, [])
    return folder


@pytest.fixture(scope="session")
def label_run(tmp_path_factory):
    return make_labels(tmp_path_factory.mktemp("runs") / "quiet-otter")


@pytest.fixture(scope="session")
def chat_run(tmp_path_factory):
    return make_chat(tmp_path_factory.mktemp("runs") / "mellow-wren")


@pytest.fixture
def failed_run(tmp_path):
    folder = tmp_path / "brisk-elm"
    (folder / "checkpoint-120").mkdir(parents=True)
    write_json(folder / "checkpoint-120" / "manifest.json", {"files": {}})
    error = {"code": "T101", "message": "3 steps in a row were not finite: loss nan at step 131", "hint": "lower training.learning_rate", "file": None, "line": None}
    known = facts("brisk-elm", "chat", status="failed", phase="training", error=error)
    write_json(folder / "run.json", {key: value for key, value in known.items() if key not in ("reload", "cost", "planned", "measured")})
    write_lines(folder / "metrics.jsonl", [*loss_rows(steps=130), {"kind": "train", "step": 131, "epoch": 0.56, "loss": "nan", "gradient_norm": "nan", "learning_rate": 2e-4, "finite": False}])
    return folder
