"""A text becomes another: spruce, learning every weight, beside the Transformers Trainer at the same budget on the same base; one command, a Markdown table.

    python benchmarks/seq2seq.py tosdr DATA --epochs 3               # terms of service to their summaries (ToS;DR), ROUGE-L
    python benchmarks/seq2seq.py english-german DATA --epochs 1      # 10,000 sentences, chrF
    python benchmarks/seq2seq.py gsm8k DATA --rows 1000              # problems in words to their worked answers, ROUGE-L
    python benchmarks/seq2seq.py self-instruct DATA --epochs 3       # instructions of many kinds to their answers, ROUGE-L

DATA is the folder of development data (`../shared/data`). Both sides see the same rows in the same chat template, learn the answers only, with the same rate, batch and epochs,
and write greedily; intervals are over test rows, of the difference too. Trainings run in processes of their own, one thread unless `--threads` says otherwise.
"""
import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple
from pathlib import Path

MEASURES = {"tosdr": "rouge_l", "english-german": "chrf", "gsm8k": "rouge_l", "self-instruct": "rouge_l"}
INSTRUCTIONS = {"tosdr": "Summarise in one sentence:", "english-german": "Translate English to German:", "gsm8k": "Solve, step by step:", "self-instruct": "Do what is asked:"}
MOST_TOKENS = 96
"""Of an answer, on both sides."""


# ---- rows ---------------------------------------------------------------------------------------
def tosdr(data: Path, test: int, seed: int) -> tuple[list, list]:
    """(source, target) of training and of test; one row of each source."""
    path = next((data / "summarisation").rglob("tosdr_annotated_v1.json"))
    rows = list({row["original_text"]: row["reference_summary"] for row in json.loads(path.read_text(encoding="utf-8")).values()}.items())
    random.Random(seed).shuffle(rows)
    return rows[test:], rows[:test]


def english_german(data: Path, test: int, seed: int) -> tuple[list, list]:
    """The training pairs; of these the last are taken apart for the test, since the published test has no translations beside it."""
    folder = next((data / "translation").rglob("src-train.txt")).parent
    sides = [(folder / f"{side}-train.txt").read_text(encoding="utf-8").split("\n") for side in ("src", "tgt")]
    rows = list({source: target for source, target in zip(*sides) if source.strip() and target.strip()}.items())
    random.Random(seed).shuffle(rows)
    return rows[test:], rows[:test]


def gsm8k(data: Path, test: int, seed: int) -> tuple[list, list]:
    """Questions and worked answers."""
    path = next((data / "math").rglob("grade_school_math/data/train.jsonl"))
    rows = [(row["question"], row["answer"]) for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())]
    random.Random(seed).shuffle(rows)
    return rows[test:], rows[:test]


def self_instruct(data: Path, test: int, seed: int) -> tuple[list, list]:
    """Instructions with their input, written by people: the seeds and the user-oriented ones."""
    folder, rows = next((data / "instruct").rglob("seed_tasks.jsonl")).parents[1], {}
    for path in (folder / "data" / "seed_tasks.jsonl", folder / "human_eval" / "user_oriented_instructions.jsonl"):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            for one in row["instances"]:
                rows[f"{row['instruction']}\n\n{one['input']}".strip()] = one["output"]
    rows = [(source, target) for source, target in rows.items() if target.strip()]
    random.Random(seed).shuffle(rows)
    return rows[test:], rows[:test]


ROWS = {"tosdr": tosdr, "english-german": english_german, "gsm8k": gsm8k, "self-instruct": self_instruct}


# ---- the two sides ------------------------------------------------------------------------------
def ours(work: Path, arguments) -> Path:
    """The product's own training and evaluation; the folder of its run."""
    words = [
        "train", "train.jsonl", "data.test=test.jsonl", "task=seq2seq", f"task.instruction={INSTRUCTIONS[arguments.what]}", f"task.measure={MEASURES[arguments.what]}", "model=spruce", "method=full",
        f"training.epochs={arguments.epochs}", f"training.threads={arguments.threads}", "training.early_stopping=0", f"evaluation.max_new_tokens={MOST_TOKENS}", f"seed={arguments.seed}", "--name", "ours",
    ]
    done = subprocess.run([sys.executable, "-m", "luthier", *words], cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr)[-2000:])
    return work / "runs" / "ours"


def asked_rows(run: Path, arguments) -> list:
    """The test rows that the run's contestants answered: one whose answer has no room is left out."""
    from luthier.runs.folder import Run
    from luthier.tasks.seq2seq import Seq2Seq
    from luthier.verbs.compare import records_of, rows_of

    return records_of(Run(run), Seq2Seq(INSTRUCTIONS[arguments.what]).prepared(), rows_of(Run(run), "tuned"))


def reference(run: Path, records: list, arguments) -> tuple[list[str], float]:
    """The Trainer on the run's own rows: what it writes for the test rows that ours answered, and minutes of training."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    torch.set_num_threads(arguments.threads)
    settings = json.loads((run / "run.json").read_text())["resolved"]
    value = lambda name: settings[f"training.{name}"]["value"]
    base = str(Path(__file__).resolve().parents[1] / "luthier" / "models" / "spruce")
    tokenizer = AutoTokenizer.from_pretrained(base)
    context = json.loads((Path(base) / "config.json").read_text())["max_position_embeddings"]

    def asked(source: str) -> list[int]:
        text = tokenizer.apply_chat_template([{"role": "user", "content": f"{INSTRUCTIONS[arguments.what]}\n\n{source}"}], tokenize=False, add_generation_prompt=True)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def encode(row: dict) -> dict:
        prompt = asked(row["source"])
        whole = tokenizer.apply_chat_template([{"role": "user", "content": f"{INSTRUCTIONS[arguments.what]}\n\n{row['source']}"}, {"role": "assistant", "content": row["target"]}], tokenize=False)
        tokens = tokenizer(whole, add_special_tokens=False)["input_ids"]
        return {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": [-100] * len(prompt) + tokens[len(prompt) :]}

    rows = [json.loads(line) for line in (run / "data" / "train.jsonl").read_text().splitlines()]
    encoded = [item for item in map(encode, rows) if len(item["input_ids"]) <= context]
    torch.manual_seed(arguments.seed)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            network, TrainingArguments(scratch, num_train_epochs=arguments.epochs, per_device_train_batch_size=value("batch_size"), learning_rate=value("learning_rate"), seed=arguments.seed, warmup_steps=0.05,
                                       lr_scheduler_type="cosine", report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True, train_sampling_strategy="group_by_length" if value("group_by_length") else "random"),
            train_dataset=encoded, data_collator=DataCollatorForSeq2Seq(tokenizer), processing_class=tokenizer,
        )
        began = time.perf_counter()
        trainer.train()
        minutes = (time.perf_counter() - began) / 60
    network.eval()
    written = []
    for record in records:
        prompt = torch.tensor([asked(record.source)[-(context - MOST_TOKENS) :]])
        with torch.no_grad():
            answer = network.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=MOST_TOKENS, do_sample=False)[0, prompt.shape[1] :]
        written.append(tokenizer.decode(answer, skip_special_tokens=True).strip())
    return written, minutes


# ---- the table ----------------------------------------------------------------------------------
def table(run: Path, targets: list[str], written: list[str], minutes: float, measure: str) -> None:
    """Every contestant of the run, the Trainer, and the difference of the two trainings over the same rows."""
    from luthier.evaluation.statistics import difference, interval
    from luthier.metrics import text

    results = json.loads((run / "evaluation" / "results.json").read_text())["contestants"]
    steps = [row for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if row["kind"] == "train"]
    scored = lambda answers: {**text.rouge(targets, answers), "bleu": text.bleu(targets, answers), "chrf": text.chrf(targets, answers)}
    print("| who | ROUGE-L | BLEU | chrF | minutes of training |\n| --- | --- | --- | --- | --- |")
    names = ("rouge_l", "bleu", "chrf")
    for name, values in results.items():
        figures = [[values["metrics"][metric][key] for key in ("value", "low", "high")] for metric in names]
        print(f"| {name} | {' | '.join(map(told, figures))} | {sum(step['seconds'] for step in steps) / 60 if name == 'tuned' else 0:.1f} |")
    theirs = scored(written)
    print(f"| Transformers Trainer | {' | '.join(told(astuple(interval(theirs[name]))) for name in names)} | {minutes:.1f} |")
    _, *answers = map(json.loads, (run / "evaluation" / "tuned.answers.jsonl").read_text().splitlines())
    apart = difference(scored([row["text"] for row in answers])[measure], theirs[measure])
    print(f"\n{len(targets)} test rows; tuned minus Trainer in {measure}: {apart.value:+.3f} ({apart.low:+.3f} to {apart.high:+.3f}), p = {apart.p_value:.3f}")
    print(json.loads((run / "verdict.json").read_text())["sentence"])


def told(values) -> str:
    return f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(ROWS))
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--rows", type=int, default=0, help="training rows; 0 is all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    train, test = ROWS[arguments.what](arguments.data, arguments.test, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="seq2seq-") as scratch:
        work = Path(scratch)
        for name, rows in (("train", train[: arguments.rows or None]), ("test", test)):
            (work / f"{name}.jsonl").write_text("".join(json.dumps({"source": source, "target": target}) + "\n" for source, target in rows), encoding="utf-8")
        run = ours(work, arguments)
        records = asked_rows(run, arguments)
        table(run, [record.target for record in records], *reference(run, records, arguments), MEASURES[arguments.what])


if __name__ == "__main__":
    main()
