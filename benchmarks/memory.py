"""The memory plan held against what a training takes: predicted and measured peak over the process's size after its imports, and their ratio.

    python benchmarks/memory.py [--which held-out|fit|all] [--state memory.jsonl]

Every configuration is a network of random weights that is written to a folder, planned from its configuration alone, and then trained for two steps by the
real loader, method, head and loop in a process of its own. `fit` are the configurations that the plan's constants were chosen by; `held-out` were fixed
before and not looked at for it.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KINDS = {
    "llama": lambda width, layers, vocabulary: ("LlamaForCausalLM", "LlamaConfig", {"hidden_size": width, "intermediate_size": width * 8 // 3 // 32 * 32, "num_hidden_layers": layers, "num_attention_heads": width // 64, "num_key_value_heads": width // 64, "max_position_embeddings": 2048, "vocab_size": vocabulary, "tie_word_embeddings": True}),
    "llama_untied": lambda width, layers, vocabulary: (*KINDS["llama"](width, layers, vocabulary)[:2], KINDS["llama"](width, layers, vocabulary)[2] | {"tie_word_embeddings": False}),
    "qwen2": lambda width, layers, vocabulary: ("Qwen2ForCausalLM", "Qwen2Config", {"hidden_size": width, "intermediate_size": width * 4, "num_hidden_layers": layers, "num_attention_heads": width // 64, "num_key_value_heads": 2, "max_position_embeddings": 2048, "vocab_size": vocabulary, "tie_word_embeddings": True}),
    "gpt2": lambda width, layers, vocabulary: ("GPT2LMHeadModel", "GPT2Config", {"n_embd": width, "n_layer": layers, "n_head": width // 64, "n_positions": 1024, "vocab_size": vocabulary}),
    "bert": lambda width, layers, vocabulary: ("BertForMaskedLM", "BertConfig", {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers, "num_attention_heads": width // 64, "max_position_embeddings": 512, "vocab_size": vocabulary}),
}
FIT = [
    ("llama", 512, 8, 32_000, "full", 4, 256, False), ("llama", 512, 8, 32_000, "lora", 4, 256, False), ("llama", 256, 4, 8_000, "full", 4, 128, False),
    ("llama", 384, 6, 16_000, "lora", 2, 512, True), ("gpt2", 384, 6, 8_000, "full", 8, 128, False), ("bert", 256, 4, 8_000, "full", 16, 64, False),
    ("llama", 640, 8, 32_000, "full", 4, 192, False), ("llama", 640, 8, 32_000, "lora", 2, 512, False), ("llama", 512, 12, 8_000, "full", 8, 128, True), ("llama_untied", 384, 12, 64_000, "full", 2, 384, False),
    ("llama", 512, 8, 16_000, "dora", 4, 256, False), ("gpt2", 512, 8, 32_000, "full", 8, 128, False), ("gpt2", 384, 12, 16_000, "adapter", 8, 128, False), ("qwen2", 512, 6, 48_000, "lora", 16, 64, False),
    ("bert", 384, 6, 30_000, "full", 16, 64, False), ("llama", 768, 6, 32_000, "layers", 1, 768, False),
]  # fmt: skip
HELD_OUT = [
    ("llama", 448, 10, 24_000, "full", 6, 160, False), ("llama", 576, 6, 40_000, "lora", 3, 320, False), ("llama", 448, 8, 16_000, "full", 4, 256, True), ("llama_untied", 512, 6, 20_000, "full", 4, 192, False),
    ("qwen2", 384, 8, 32_000, "dora", 4, 192, False), ("gpt2", 448, 6, 24_000, "lora", 4, 256, False), ("gpt2", 512, 6, 50_000, "full", 2, 320, False), ("llama", 640, 6, 12_000, "adapter", 4, 192, False),
    ("bert", 512, 8, 20_000, "full", 8, 96, False), ("qwen2", 640, 8, 16_000, "lora", 2, 384, True),
]  # fmt: skip
"""(kind, width, layers, vocabulary, method, rows, tokens a row, gradient checkpointing)."""


def make(folder: Path, kind: str, width: int, layers: int, vocabulary: int) -> None:
    """A folder with random weights and a byte tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    network, config, fields = KINDS[kind](width, layers, vocabulary)
    torch.manual_seed(0)
    getattr(transformers, network)(getattr(transformers, config)(**fields)).save_pretrained(folder)
    known = {token: number for number, token in enumerate(["<s>", "</s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=known, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>").save_pretrained(folder)


def predicted(folder: Path, configuration) -> dict:
    """The plan, from the configuration alone."""
    from luthier.methods import METHODS
    from luthier.models.memory import plan_memory

    *_, method, rows, length, recomputed = configuration
    plan = plan_memory(str(folder), METHODS[method](), rows=rows, length=length, gradient_checkpointing=recomputed)
    return {"parts": plan.parts, "predicted": plan.total - plan.parts["libraries"], "libraries": plan.parts["libraries"]}


def status(field: str) -> int:
    """A line of the process's own status, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def measured(folder: str, configuration) -> dict:
    """Load, apply, two steps: the peak over what the process held after its imports."""
    kind, _, _, vocabulary, method, rows, length, recomputed = configuration
    import peft  # noqa: F401
    import torch
    import transformers.models.bert.modeling_bert
    import transformers.models.gpt2.modeling_gpt2
    import transformers.models.llama.modeling_llama
    import transformers.models.qwen2.modeling_qwen2  # noqa: F401

    import luthier.verbs.train  # noqa: F401
    from luthier.methods import METHODS
    from luthier.models.load import load
    from luthier.objectives.sft import PreparedSFT
    from luthier.preparation.batches import Batch
    from luthier.training.loop import train
    from luthier.training.optimizer import adamw
    from luthier.training.schedule import Schedule

    imported = status("VmRSS")
    encoder = kind == "bert"
    language_model = load(folder, head="sequence_class" if encoder else "causal", labels=["a", "b"] if encoder else None)
    network = language_model.network = METHODS[method]().apply(language_model)
    loaded = status("VmHWM")
    if recomputed:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        network.enable_input_require_grads()
    parameters = {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}
    optimizer = adamw(parameters, weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8)

    def steps(start):
        while True:
            tokens, weight = torch.randint(3, vocabulary, (rows, length)), torch.ones(rows, length)
            yield [Batch(tokens, weight, None, None, torch.zeros(rows, dtype=torch.int64) if encoder else None, [[row] for row in range(rows)])]

    for _ in train(network, PreparedSFT(language_model.head, steps), optimizer, Schedule(1e-4, 2, 0, "constant"), steps=2, seed=1):
        pass
    return {"measured": status("VmHWM") - imported, "loading": loaded - imported, "imported": imported}


def shown(row: dict) -> str:
    kind, width, layers, vocabulary, method, rows, length, recomputed = row["configuration"]
    name = f"{kind} {width}x{layers}, {vocabulary:,} tokens, {method}, {rows} x {length}{', recomputed' if recomputed else ''}"
    parts = ", ".join(f"{part} {size / 2**20:.0f}" for part, size in row["parts"].items() if part != "libraries")
    return f"| {name} | {row['predicted'] / 2**20:,.0f} | {row['measured'] / 2**20:,.0f} | {row['predicted'] / row['measured']:.2f} | {row['loading'] / 2**20:,.0f} | {parts} |"


def one(configuration) -> dict:
    with tempfile.TemporaryDirectory(prefix="memory-plan-") as folder:
        make(Path(folder), *configuration[:4])
        plan = predicted(Path(folder), configuration)
        done = subprocess.run([sys.executable, __file__, "--measure", folder, json.dumps(configuration)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        return {"configuration": list(configuration), **plan, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measured(sys.argv[2], json.loads(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--which", choices=["held-out", "fit", "all"], default="held-out")
    parser.add_argument("--state", type=Path, help="keep what was measured here, and predict anew for what stands in it")
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    kept = {}
    if arguments.state and arguments.state.exists():
        kept = {json.dumps(row["configuration"]): row for row in map(json.loads, arguments.state.read_text().splitlines())}
    until, found = time.time() + 60 * arguments.minutes, []
    print("| configuration | predicted MiB | measured MiB | ratio | peak while loading | parts, MiB |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    for configuration in {"held-out": HELD_OUT, "fit": FIT, "all": FIT + HELD_OUT}[arguments.which]:
        key = json.dumps(list(configuration))
        if key in kept:
            with tempfile.TemporaryDirectory(prefix="memory-plan-") as folder:
                make(Path(folder), *configuration[:4])
                row = kept[key] | predicted(Path(folder), configuration)
        elif time.time() > until:
            print("the minutes are spent; call again to go on")
            break
        else:
            row = one(configuration)
            if arguments.state:
                with open(arguments.state, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
        found.append(row)
        print(shown(row), flush=True)
    within = sum(abs(row["predicted"] / row["measured"] - 1) <= 0.15 for row in found)
    print(f"within 15 %: {within} of {len(found)}")


if __name__ == "__main__":
    main()
