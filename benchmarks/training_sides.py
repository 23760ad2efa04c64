"""Each side of `training.py`, trained once in a process of its own: what it was told, what it took, what it learned.

Luthier is imported only by the side that is Luthier, so that the peers may run in an environment without it. All sides start from the same
random weights, learn the same rows through the same chat template with AdamW at the same constant rate, and are asked for the same held-out loss:
nats a token of the answers, by the plain logits of the network.

    python benchmarks/training_sides.py '{"side": "trl_tuned", "method": "lora", "cores": 2, "work": "FOLDER", ...}'
"""
import json
import os
import sys
import time
from pathlib import Path

LENGTH = 1024
BATCH = 8
RATES = {"full": 3e-4, "lora": 1e-3}
ADAPTER = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
TRL = {
    "trl_default": {},
    "trl_tuned": {"gradient_checkpointing": False, "train_sampling_strategy": "group_by_length"},
    "trl_best": {"gradient_checkpointing": False, "packing": True, "packing_strategy": "bfd", "max_length": LENGTH},
}
"""What each way to run TRL sets beside the defaults."""


def memory(field: str) -> float:
    """A line of the process's own status, in MiB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) / 1024


def read_rows(path: Path, count: int) -> list[dict]:
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for _, line in zip(range(count), stream)]


class Clock:
    """When learning began and when the last step ended, by the clock and by the process's own time, and the largest that the process had been by then."""

    began = ended = own_began = own_ended = peak = 0.0

    def start(self) -> None:
        self.began, self.own_began = time.time(), time.process_time()

    def step(self) -> None:
        self.ended, self.own_ended, self.peak = time.time(), time.process_time(), memory("VmHWM")

    def result(self) -> dict:
        return {
            "seconds": self.ended - self.began, "processor": self.own_ended - self.own_began, "before_first_step": self.began - float(os.environ["BENCHMARK_STARTED"]),
            "peak_mib": self.peak,
        }


# ---- the sides ----------------------------------------------------------------------------------
ALWAYS = {
    "seed": 17, "data.validation": 0.0, "data.test": 0.0, "evaluation.contestants": "[tuned]", "training.epochs": 1.0, "training.schedule": "constant", "training.warmup": 0,
    "training.save_every": 10**6, "training.evaluate_every": 10**6,
}
"""What every timed training of Luthier is told: one pass, no looks, no verdict."""


def worked(data: Path, told: dict, clock, work: Path):
    """The stages of `luthier train` on `data` up to the last step, with log and checkpoint, timed by `clock`; `told` beside ALWAYS."""
    from luthier.runs import folder as runs
    from luthier.verbs.stages import open_recipe
    from luthier.verbs.stopping import Stopping
    from luthier.verbs.work import Work

    def hear(event) -> None:
        if event.kind == "phase" and event.data.get("name") == "training":
            clock.start()
        if event.kind == "progress" and event.data.get("task") == "training":
            clock.step()

    os.environ["LUTHIER_RUNS"] = str(work / "runs")
    recipe, _ = open_recipe(data, [f"{key}={value}" for key, value in {**ALWAYS, **told}.items()], lambda event: None)
    run = runs.create()
    with run.lock(), Stopping() as stopping:
        done = Work(run, recipe, hear, stopping)
        done.trained()
    return done


def luthier(asked: dict, clock: Clock):
    """`luthier train` without its verdict: data, tokens, the loop with its log, and the checkpoint at the end."""
    import luthier.verbs.work  # noqa: F401  (before the first yield, as the peers import theirs)

    work, count = Path(asked["work"]), asked["rows"]
    path = work / f"chats-{count}.jsonl"
    path.write_text("".join(json.dumps({"messages": row["prompt"] + row["completion"]}) + "\n" for row in read_rows(work / "train.jsonl", count)), encoding="utf-8")
    yield
    told = {
        "model": str(work / "model"), "task": "chat", "method": asked["method"], "training.batch_size": BATCH, "training.learning_rate": RATES[asked["method"]],
        "training.precision": asked["precision"], "training.threads": asked["cores"], "training.group_by_length": True,  # as the tuned peer is told
    }
    yield worked(path, told, clock, work).network


def arguments_of(asked: dict) -> dict:
    """What the Transformers Trainer is told on every side that uses it."""
    return {
        "output_dir": str(Path(asked["work"]) / "peer"), "num_train_epochs": 1, "per_device_train_batch_size": BATCH, "learning_rate": RATES[asked["method"]],
        "lr_scheduler_type": "constant", "weight_decay": 0.0, "seed": 17, "use_cpu": True, "bf16": asked["precision"] == "bf16", "report_to": "none", "save_strategy": "no",
        "logging_strategy": "no", "disable_tqdm": True,
    }


def watch(clock: Clock):
    from transformers import TrainerCallback

    class Watching(TrainerCallback):
        def on_train_begin(self, *_, **__):
            clock.start()

        def on_step_end(self, *_, **__):
            clock.step()

    return Watching()


def peer(asked: dict):
    """The base and its tokenizer, as a script loads them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(Path(asked["work"]) / "model")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


def script(asked: dict, clock: Clock):
    """The usual tutorial script: every row padded to the context, every token learned; repaired, for it names no pad token."""
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    yield
    network, tokenizer = peer(asked)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    if asked["method"] == "lora":
        from peft import LoraConfig, get_peft_model

        network = get_peft_model(network, LoraConfig(**ADAPTER))
    texts = [tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False) for row in read_rows(Path(asked["work"]) / "train.jsonl", asked["rows"])]
    rows = [dict(tokenizer(text, padding="max_length", truncation=True, max_length=LENGTH, add_special_tokens=False)) for text in texts]
    trainer = Trainer(network, TrainingArguments(**arguments_of(asked)), train_dataset=rows, data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False), callbacks=[watch(clock)])
    trainer.train()
    yield trainer.model


def trl(asked: dict, clock: Clock):
    """TRL's SFTTrainer on rows of prompt and completion; the loss is the completion's, which is its default for such rows."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    yield
    network, tokenizer = peer(asked)
    told = arguments_of(asked) | TRL[asked["side"]]
    if told.get("packing"):  # rows of LENGTH tokens hold several examples: as many of them as hold about BATCH
        told["per_device_train_batch_size"] = max(1, round(BATCH * asked["mean_tokens"] / LENGTH))
    rows = Dataset.from_list(read_rows(Path(asked["work"]) / "train.jsonl", asked["rows"]))
    adapter = LoraConfig(**ADAPTER) if asked["method"] == "lora" else None
    trainer = SFTTrainer(network, SFTConfig(**told), train_dataset=rows, processing_class=tokenizer, peft_config=adapter, callbacks=[watch(clock)])
    trainer.train()
    yield trainer.model


SIDES = {"luthier": luthier, "script": script, "trl_default": trl, "trl_tuned": trl, "trl_best": trl}


# ---- what is asked of all -----------------------------------------------------------------------
def held_out(network, work: Path) -> float:
    """Nats a token of the answers of rows that nobody learned."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(work / "model"))
    total, count = 0.0, 0
    network.eval()
    with torch.no_grad():
        for row in read_rows(work / "held_out.jsonl", 10**6):
            ids = [tokenizer(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asking), add_special_tokens=False)["input_ids"]
                   for messages, asking in ((row["prompt"], True), (row["prompt"] + row["completion"], False))]
            start, tokens = len(ids[0]), torch.tensor(ids[1])
            logits = network(input_ids=tokens[None], use_cache=False).logits[0, start - 1 : -1].float()
            total += torch.nn.functional.cross_entropy(logits, tokens[start:], reduction="sum").item()
            count += len(tokens) - start
    return total / count


def measure(asked: dict) -> dict:
    """Train one side once."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked["cores"]])
    import peft  # noqa: F401  (every side's imports are counted before its memory is)
    import torch
    import transformers.models.llama.modeling_llama  # noqa: F401

    torch.set_num_threads(asked["cores"])
    clock = Clock()
    side = SIDES[asked["side"]](asked, clock)
    next(side)
    imported = memory("VmRSS")
    network = next(side)
    whole = memory("VmHWM")
    loss = held_out(network, Path(asked["work"])) if asked["part"] == "equal" or asked["round"] == 0 else float("nan")
    return {**asked, **clock.result(), "imported_mib": imported, "whole_mib": whole, "held_out": loss, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    print("RESULT " + json.dumps(measure(json.loads(sys.argv[1]))))
