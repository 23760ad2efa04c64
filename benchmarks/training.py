"""Speed and memory of training beside its peers: the usual Trainer script and TRL's SFTTrainer at its defaults, tuned and at its best.

    python benchmarks/training.py DATA [--minutes 5] [--peer-python /path/to/python]
    python benchmarks/training.py --table

DATA holds the rows of GSM8K (train.jsonl of `question`, `answer`). The base is a Llama of 42 M random weights. Every measurement is a process of its own;
the sides take turns, and every second round in the reverse order. What was measured is kept in `--state`, and each call goes on where the last one ended,
for at most `--minutes`, so that the table grows. The peers need an environment with what is installed here and TRL:

    python -m venv peers && peers/bin/pip install -c constraints.txt torch transformers peft trl datasets accelerate --extra-index-url https://download.pytorch.org/whl/cpu

Products are made in bf16 on all sides where this machine multiplies it in hardware, else in fp32 on all sides. Tokens are those of the rows, each counted
once, padding never; by processor time, a process alone on its core is not slowed by its neighbours. Memory is the peak of the process up to the end of its last step, less what it held after its imports; only Luthier then writes a checkpoint.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHAPE = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 2048}
VOCABULARY = 32_000
TEMPLATE = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
SPECIAL = ["<|bos|>", "<|end|>", "<|user|>", "<|assistant|>"]
NAMES = {"luthier": "Luthier", "script": "Trainer script, padded", "trl_default": "TRL, defaults", "trl_tuned": "TRL, tuned", "trl_best": "TRL, best"}
ROWS = {"speed": {"script": 8}, "equal": {}}
SPEED_ROWS, EQUAL_ROWS, HELD_OUT_ROWS = 64, 128, 32


# ---- what everyone starts from ------------------------------------------------------------------
def make(work: Path, data: Path) -> None:
    """Rows, tokenizer and random base, once."""
    if (work / "facts.json").exists():
        return
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    path = data if data.is_file() else next(data.rglob("train.jsonl"))
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator((text for row in rows for text in row.values()), trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1], model_max_length=2048, chat_template=TEMPLATE)
    fast.save_pretrained(work / "model")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE, vocab_size=VOCABULARY, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1)).save_pretrained(work / "model")
    random.Random(0).shuffle(rows)
    chats = [{"prompt": [{"role": "user", "content": row["question"]}], "completion": [{"role": "assistant", "content": row["answer"]}]} for row in rows]
    for name, part in (("held_out", chats[:HELD_OUT_ROWS]), ("train", chats[HELD_OUT_ROWS : HELD_OUT_ROWS + 4096])):
        (work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    lengths = [[len(fast(fast.apply_chat_template(messages, tokenize=False))["input_ids"]) for messages in (row["prompt"], row["prompt"] + row["completion"])] for row in chats[HELD_OUT_ROWS : HELD_OUT_ROWS + 4096]]
    (work / "facts.json").write_text(json.dumps({"lengths": lengths}), encoding="utf-8")


def tokens_of(work: Path, count: int) -> tuple[int, int]:
    """Tokens of the first rows, and how many of them are answers."""
    lengths = json.loads((work / "facts.json").read_text())["lengths"][:count]
    return sum(whole for _, whole in lengths), sum(whole - prompt - 1 for prompt, whole in lengths)


def precision() -> str:
    """What all sides compute in on this machine."""
    from luthier.models.machine import machine

    return "bf16" if machine().bf16 else "fp32"


# ---- measuring ----------------------------------------------------------------------------------
class State:
    """What was measured, on disk."""

    def __init__(self, path: Path):
        self.path = path
        self.rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def add(self, row: dict) -> None:
        self.rows.append(row)
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def of(self, **wanted) -> list[dict]:
        return [row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())]


def pieces(arguments) -> list[dict]:
    """Every measurement of a training, in the order in which it is taken."""
    found = []
    for round_number in range(arguments.pairs):
        sides = arguments.sides if round_number % 2 == 0 else arguments.sides[::-1]
        sides = [side for side in sides if round_number == 0 or side not in arguments.once]
        for cores in arguments.cores:
            for method in arguments.methods:
                found += [{"part": "speed", "round": round_number, "cores": cores, "method": method, "side": side} for side in sides]
    largest = max(arguments.cores)
    found += [{"part": "equal", "round": 0, "cores": largest, "method": method, "side": side} for method in arguments.methods for side in arguments.sides]
    return [piece for piece in found if piece["part"] in arguments.parts]


def train_once(piece: dict, work: Path, python: str, kind: str) -> dict:
    """One side, once, in a process of its own."""
    count = ROWS[piece["part"]].get(piece["side"], SPEED_ROWS if piece["part"] == "speed" else EQUAL_ROWS)
    tokens, learned = tokens_of(work, count)
    asked = {**piece, "work": str(work), "rows": count, "mean_tokens": tokens / count, "precision": kind}
    quiet = {"OMP_NUM_THREADS": str(piece["cores"]), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false", "BENCHMARK_STARTED": repr(time.time())}
    command = [sys.executable if piece["side"] == "luthier" else python, str(HERE / "training_sides.py"), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **quiet})
    result = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if result is None:
        return {**piece, "failed": (done.stderr or done.stdout)[-800:]}
    row = json.loads(result.removeprefix("RESULT "))
    del row["work"]
    return {**row, "tokens": tokens, "learned": learned, "rate": tokens / row["seconds"], "own_rate": tokens / row["processor"]}


def measure(arguments, state: State, work: Path) -> None:
    """Go on where the last call ended, until the minutes are spent."""
    until, kind = time.time() + 60 * arguments.minutes, precision()
    for piece in pieces(arguments):
        if state.of(**piece):
            continue
        like = [row["wall"] for row in state.rows if all(row.get(key) == piece[key] for key in ("part", "cores", "method", "side"))]
        if time.time() + max(like, default=20) > until:
            print("the minutes are spent; call again to go on", flush=True)
            return
        began = time.time()
        row = {**train_once(piece, work, arguments.peer_python, kind), "wall": time.time() - began, "date": time.strftime("%Y-%m-%d %H:%M")}
        state.add(row)
        told = row.get("failed") or f"{row['rate']:.0f} tokens/s, {row['peak_mib'] - row['imported_mib']:.0f} MiB over imports, held-out {row['held_out']:.3f}"
        print(f"{piece['part']} {piece['round']}: {piece['side']} {piece['method']} on {piece['cores']}: {told} ({row['wall']:.0f} s)", flush=True)
    for name, take in (("ceiling", ceiling), ("startup", startup), ("scaling", scaling)):
        if name in arguments.parts and not state.of(part=name) and time.time() < until:
            for row in take(arguments, work, kind):
                state.add(row)


def fresh(code: str, cores: int, *words: str, python: str = sys.executable) -> str:
    """The output of a few lines in a process of their own, on so many cores."""
    first = f"import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])\n"
    return subprocess.run([python, "-c", first + code, *words], capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": str(cores)}).stdout


CEILING = """
import sys, time, torch
kind = getattr(torch, sys.argv[1])
a, b = torch.randn(2048, 2048).to(kind), torch.randn(2048, 2048).to(kind)
a @ b
took = []
for _ in range(8):
    began = time.perf_counter(); a @ b; took.append(time.perf_counter() - began)
print(2 * 2048**3 / sorted(took)[len(took) // 2])
"""


def ceiling(arguments, work: Path, kind: str) -> list[dict]:
    """Multiplications and additions a second of a large matrix product."""
    name = {"bf16": "bfloat16", "fp32": "float32"}[kind]
    return [{"part": "ceiling", "cores": cores, "flops": float(fresh(CEILING, cores, name))} for cores in arguments.cores]


STARTS = {
    "luthier --help": ("luthier", "-m", "luthier", "--help"),
    "import luthier": ("luthier", "-c", "import luthier"),
    "everything that `luthier train` imports": ("luthier", "-c", "import luthier.verbs.train"),
    "import transformers.Trainer": ("peer", "-c", "from transformers import Trainer"),
    "import trl.SFTTrainer": ("peer", "-c", "from trl import SFTTrainer"),
}


def startup(arguments, work: Path, kind: str) -> list[dict]:
    """Seconds until a program is ready to be told something; the best of three, so that files are in memory."""
    found = []
    for name, (side, *words) in STARTS.items():
        took = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run([sys.executable if side == "luthier" else arguments.peer_python, *words], capture_output=True, check=True)
            took.append(time.perf_counter() - began)
        found.append({"part": "startup", "what": name, "seconds": min(took)})
    return found


SCALING = """
import json, sys, time, torch
from transformers import LlamaConfig, LlamaForCausalLM
from luthier.models.heads import CausalHead
from luthier.training.optimizer import adamw
shape, rows, length, learned, low = json.loads(sys.argv[1])
torch.manual_seed(0)
network = LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True)).train()
head, parameters = CausalHead(autocast=torch.bfloat16 if low else None), dict(network.named_parameters())
optimizer = adamw(parameters, weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8)
tokens = torch.randint(0, shape["vocab_size"], (rows, length))
weight = (torch.arange(length) >= length - length * learned).float().expand(rows, length)
took = []
for _ in range(3):
    began = time.perf_counter()
    head.loss(network, tokens, weight)[0].backward()
    optimizer.step(); optimizer.zero_grad()
    took.append(time.perf_counter() - began)
print(min(took[1:]))
"""


def scaling(arguments, work: Path, kind: str) -> list[dict]:
    """Seconds of one full step of a network of two layers as one thing grows: the length (same tokens in all), the rows of a batch, the vocabulary."""
    shape = {**SHAPE, "num_hidden_layers": 2, "vocab_size": 8000}
    grid = [("length", length, shape, 2048 // length, length) for length in (128, 256, 512, 1024, 2048)]
    grid += [("rows", rows, shape, rows, 256) for rows in (1, 2, 4, 8, 16)]
    grid += [("vocabulary", size, {**shape, "vocab_size": size}, 8, 256) for size in (8_000, 16_000, 32_000, 64_000)]
    return [
        {"part": "scaling", "axis": axis, "value": value, "tokens": rows * length, "seconds": float(fresh(SCALING, max(arguments.cores), json.dumps([chosen, rows, length, 0.6, kind == "bf16"])))}
        for axis, value, chosen, rows, length in grid
    ]


# ---- the table ----------------------------------------------------------------------------------
def work_of(method: str, tokens: int, learned: int) -> float:
    """Multiplications and additions that cannot be left out: 2 a weight and token forward, 2 for what goes back through it, 2 more where it learns; the output layer at learned tokens only."""
    body = SHAPE["num_hidden_layers"] * (4 * SHAPE["hidden_size"] ** 2 + 3 * SHAPE["hidden_size"] * SHAPE["intermediate_size"])
    return (6 if method == "full" else 4) * (body * tokens + VOCABULARY * SHAPE["hidden_size"] * learned)


def speed_table(state: State) -> list[str]:
    """One line for each side, method and number of cores; ratios are medians over the rounds in which both sides were measured."""
    lines = ["| cores | method | side | tokens/s (rounds) | Luthier is faster | by processor time | peak over imports, MiB | Luthier's share of it | held-out loss | seconds before the first step |", "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for cores in sorted({row["cores"] for row in state.of(part="speed")}):
        for method in ("lora", "full"):
            ours = {row["round"]: row for row in state.of(part="speed", cores=cores, method=method, side="luthier") if "rate" in row}
            for side, name in NAMES.items():
                rows = [row for row in state.of(part="speed", cores=cores, method=method, side=side) if "rate" in row]
                if not rows:
                    continue
                ratios, own_ratios = ([ours[row["round"]][rate] / row[rate] for row in rows if row["round"] in ours] for rate in ("rate", "own_rate"))
                over = statistics.median(row["peak_mib"] - row["imported_mib"] for row in rows)
                own = statistics.median(row["peak_mib"] - row["imported_mib"] for row in ours.values()) if ours else float("nan")
                equal = next((row["held_out"] for row in state.of(part="equal", method=method, side=side) if "held_out" in row), None)
                lines.append(
                    f"| {cores} | {method} | {name} | {statistics.median(row['rate'] for row in rows):,.0f} ({', '.join(format(row['rate'], ',.0f') for row in rows)}) "
                    f"| {'' if side == 'luthier' or not ratios else f'{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})'} | {'' if side == 'luthier' or not ratios else f'{statistics.median(own_ratios):.2f}x'} | {over:,.0f} (imports {statistics.median(row['imported_mib'] for row in rows):,.0f}) "
                    f"| {'' if side == 'luthier' else f'{own / over:.2f}'} | {'' if equal is None else f'{equal:.3f}'} | {statistics.median(row['before_first_step'] for row in rows):.1f} |"
                )
    return lines


def further_tables(state: State) -> list[str]:
    """The ceiling, growth and start-up."""
    lines = [f"products in {', '.join(sorted({row['precision'] for row in state.rows if 'precision' in row}))} on all sides"]
    for row in state.of(part="ceiling"):
        for method in ("lora", "full"):
            rates = [one["rate"] for one in state.of(part="speed", side="luthier", method=method, cores=row["cores"]) if "rate" in one]
            if rates:
                one = next(one for one in state.of(part="speed", side="luthier", method=method, cores=row["cores"]) if "rate" in one)
                share = work_of(method, one["tokens"], one["learned"]) * statistics.median(rates) / one["tokens"] / row["flops"]
                lines.append(f"{row['cores']} core(s), {method}: {share:.0%} of the {row['flops'] / 1e9:,.0f} GFLOP/s of a matrix product")
    for axis in ("length", "rows", "vocabulary"):
        rows = state.of(part="scaling", axis=axis)
        if rows:
            lines.append(f"seconds of a step by {axis}: " + ", ".join(f"{row['value']:,}: {row['seconds']:.3f} ({1e6 * row['seconds'] / row['tokens']:.0f} us a token)" for row in rows))
    lines += [f"{row['what']}: {row['seconds']:.2f} s" for row in state.of(part="startup")]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--state", type=Path, default=Path("training.jsonl"), help="what was measured so far")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "luthier-training-benchmark", help="where the base and the rows are made")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--cores", type=lambda text: [int(word) for word in text.split(",")], default=[2, 1])
    parser.add_argument("--methods", type=lambda text: text.split(","), default=["lora", "full"])
    parser.add_argument("--sides", type=lambda text: text.split(","), default=list(NAMES))
    parser.add_argument("--once", type=lambda text: text.split(","), default=["trl_default"], help="sides that are measured in the first round only")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=["speed", "equal", "ceiling", "startup", "scaling"])
    parser.add_argument("--peer-python", default=sys.executable, help="the python of the peers' own environment")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    arguments = parser.parse_args()
    state = State(arguments.state)
    if not arguments.table:
        arguments.work.mkdir(parents=True, exist_ok=True)
        make(arguments.work, arguments.data)
        measure(arguments, state, arguments.work)
    print("\n".join([*speed_table(state), "", *further_tables(state)]))


if __name__ == "__main__":
    main()
