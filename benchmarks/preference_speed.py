"""Tokens a second of DPO and GRPO with LoRA beside TRL's trainers: the same base, data, batches and precision, alternating in one process.

    python benchmarks/preference_speed.py DATA dpo|grpo [PAIRS] [THREADS]

Needs the `bench` extra. The base is spruce in float32, LoRA of rank 8 on all linear layers, no checkpointing of activations on either side. DPO: 8 pairs a
step of LLMs-from-scratch; everything counts from the prepared rows on, our one reading by the starting model included. TRL is timed twice, as it comes
(the starting model is read at every step) and with `precompute_ref_log_probs`, its own reading once counted too. GRPO: 4 prompts with 8 answers of at
most 32 tokens a step. Tokens are those of prompts and answers without padding, each row once a step.
"""
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

import luthier
from luthier.runs import folder as runs
from luthier.runs.events import silent
from luthier.training.loop import train
from luthier.training.optimizer import adamw
from luthier.training.schedule import Schedule
from luthier.verbs.stages import open_recipe
from luthier.verbs.stopping import Stopping
from luthier.verbs.work import Work

SPRUCE = Path(luthier.__file__).parent / "models" / "spruce"
PAIRS = "preference/rasbt__LLMs-from-scratch/ch07/04_preference-tuning-with-dpo/instruction-data-with-preference.json"
STEPS = {"dpo": 8, "grpo": 5}
BATCH, GROUP, ANSWER, RATE = {"dpo": 8, "grpo": 4}, 8, 32, 1e-5


def rows_of(data: Path) -> list[dict]:
    """Pairs in TRL's conversational shape, none longer than the context."""
    found = []
    for row in json.loads((data / PAIRS).read_text()):
        asked = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        if len(asked) + max(len(row["chosen"]), len(row["rejected"])) < 700:
            found.append({"prompt": [{"role": "user", "content": asked}], "chosen": [{"role": "assistant", "content": row["chosen"]}], "rejected": [{"role": "assistant", "content": row["rejected"]}]})
    return found


class Ours:
    """The real objective and the real loop, without looks and checkpoints."""

    def __init__(self, kind: str, file: Path):
        own = {"objective.name": kind} | ({"objective.rewards": ["regex:e"], "objective.group_size": GROUP, "objective.max_answer_tokens": ANSWER} if kind == "grpo" else {})
        recipe, _ = open_recipe(str(file), {
            "model": "spruce", "task": "chat", "method.name": "lora", "method.rank": 8, "data.test": 0, "data.validation": 0, "data.on_bad_row": "skip", "training.batch_size": BATCH[kind],
            "training.learning_rate": RATE, "training.precision": "fp32", "training.threads": torch.get_num_threads(), "evaluation.max_new_tokens": ANSWER, **own,
        }, silent)
        self.kind, self.work = kind, Work(runs.create("", stem=kind), recipe, silent, Stopping())
        self.work.prepare()
        self.base = self.work.language_model.network

    def once(self) -> tuple[float, float]:
        """Seconds and tokens of the steps, from the prepared rows on; the starting model's reading is not kept from one time to the next."""
        work, steps = self.work, STEPS[self.kind]
        work.run = runs.create("", stem=self.kind)
        work.language_model.network = AutoModelForCausalLM.from_pretrained(SPRUCE, dtype=torch.float32)
        os.environ["LUTHIER_RUNS"] = tempfile.mkdtemp()
        began = time.perf_counter()
        work.apply()
        optimizer = adamw(work.parameters, weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8)
        loop = train(work.network, work.objective, optimizer, Schedule(RATE, steps, 0, "constant"), steps=steps, seed=1, clip_norm=1.0)
        padded = sum(step.tokens for step in loop)
        seconds = time.perf_counter() - began
        return seconds, self.tokens(work, steps, padded)

    def tokens(self, work: Work, steps: int, padded: int) -> float:
        if self.kind == "grpo":
            rollouts = [json.loads(path.read_text()) for path in sorted((work.run.path / "rollouts").iterdir())]
            return sum(len(prompt) + len(answer) for one in rollouts for prompt, answer in zip(one["prompts"], one["answers"], strict=True))
        lengths = work.tokens.stores["train"].lengths.reshape(-1, 2).sum(1)
        return float(sum(lengths[pair] for step in range(steps) for rows in work.objective.pairs.order.step(step) for row in rows for pair in row))


@contextlib.contextmanager
def timed(owner: type, name: str):
    """Seconds of each call of a method while the context lasts: TRL's starting model reads the pairs when the trainer is made."""
    inner, found = getattr(owner, name), []

    def call(*given, **named):
        began = time.perf_counter()
        try:
            return inner(*given, **named)
        finally:
            found.append(time.perf_counter() - began)

    setattr(owner, name, call)
    try:
        yield found
    finally:
        setattr(owner, name, inner)


class Theirs:
    """TRL's trainer."""

    def __init__(self, kind: str, rows: list[dict], precompute: bool = False):
        self.kind, self.rows, self.precompute = kind, rows, precompute
        self.tokenizer = AutoTokenizer.from_pretrained(SPRUCE)

    def once(self) -> tuple[float, float]:
        from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

        steps = STEPS[self.kind]
        common = {
            "output_dir": tempfile.mkdtemp(), "max_steps": steps, "learning_rate": RATE, "lr_scheduler_type": "constant", "report_to": [], "use_cpu": True, "bf16": False, "save_strategy": "no",
            "logging_steps": 1, "gradient_checkpointing": False, "disable_tqdm": True, "dataloader_pin_memory": False, "seed": 1, "max_grad_norm": 1.0,
        }
        model = AutoModelForCausalLM.from_pretrained(SPRUCE, dtype=torch.float32)
        peft = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        if self.kind == "dpo":
            rows = self.rows[: steps * BATCH["dpo"]]
            config = DPOConfig(per_device_train_batch_size=BATCH["dpo"], max_length=512, precompute_ref_log_probs=self.precompute, **common)
            make = lambda: DPOTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=self.tokenizer, peft_config=peft)
        else:
            config = GRPOConfig(per_device_train_batch_size=BATCH["grpo"] * GROUP, num_generations=GROUP, max_completion_length=ANSWER, beta=0.04, temperature=1.0, **common)
            reward = lambda completions, **_: [float("e" in one[0]["content"]) for one in completions]
            make = lambda: GRPOTrainer(model=model, args=config, train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in self.rows]), processing_class=self.tokenizer, reward_funcs=reward, peft_config=peft)
        with contextlib.redirect_stdout(io.StringIO()), timed(DPOTrainer, "_precompute_ref_logps") as reading:
            trainer = make()
            began = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - began + sum(reading)
        return seconds, self.tokens(trainer)

    def tokens(self, trainer) -> float:
        if self.kind == "grpo":
            return max(row["num_tokens"] for row in trainer.state.log_history if "num_tokens" in row)
        read = lambda row, side: len(self.tokenizer.apply_chat_template(row["prompt"] + row[side], tokenize=True, return_dict=False))
        return float(sum(read(row, side) for row in self.rows[: STEPS["dpo"] * BATCH["dpo"]] for side in ("chosen", "rejected")))


def main(data: Path, kind: str, pairs: int = 3, threads: int = 2) -> None:
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    os.environ["LUTHIER_RUNS"] = tempfile.mkdtemp()
    rows = rows_of(data)
    file = Path(tempfile.mkdtemp()) / "rows.jsonl"
    shown = rows[: STEPS[kind] * BATCH[kind]] if kind == "dpo" else [{"prompt": row["prompt"]} for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in shown))
    sides = {"luthier": Ours(kind, file), "trl": Theirs(kind, rows)} | ({"trl, precomputed": Theirs(kind, rows, precompute=True)} if kind == "dpo" else {})
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(pairs + 1):
        for name, side in sides.items():
            seconds, tokens = side.once()
            if number:  # the first of each warms up
                rates[name].append(tokens / seconds)
            print(f"  {'warm-up' if not number else number}: {name} {tokens:,.0f} tokens in {seconds:.2f} s", flush=True)
    for name, found in rates.items():
        print(f"{kind} {name}: {statistics.median(found):,.0f} tokens/s, median of {pairs} ({min(found):,.0f} to {max(found):,.0f})")
    for name in list(rates)[1:]:
        ratios = [ours / other for ours, other in zip(rates["luthier"], rates[name], strict=True)]
        print(f"{kind}: {statistics.median(ratios):.2f} times {name} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *(int(word) for word in sys.argv[3:5]))
