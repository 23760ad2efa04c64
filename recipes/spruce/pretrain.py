"""Pretrain spruce from its corpus: Luthier's causal-LM path end to end (tokens -> order -> cross-entropy -> loop -> checkpoints), on one CPU.

    python -m recipes.spruce.corpus CORPUS --notes 14000
    python -m recipes.spruce.pretrain CORPUS FIRST --without notes --stop 600                            # language
    python -m recipes.spruce.pretrain CORPUS SECOND --start FIRST --share 0.2 --peak 1.5e-3              # all notes and a fifth of the rest
    python -m recipes.spruce.pretrain CORPUS THIRD --start SECOND --share 0.1 --peak 1.5e-3 --threads 2  # all notes again and a tenth of the rest
    python -m recipes.spruce.pretrain CORPUS FOURTH --start THIRD --epochs 1.5 --peak 1.5e-3 --mixed     # all of it, one and a half times
    python -m recipes.spruce.export FOURTH

`--start luthier/models/spruce` goes on from the weights that ship.

A second call continues by itself where the first stopped. Products are in bf16 where the processor has units for it (stages 1 to 3 of the shipped weights), else in fp32.

Every step is a pure function of (seed, step), so a run that was stopped and started again ends with the same bits.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from luthier.errors import CheckpointError
from luthier.files import digest, sha256_file
from luthier.models import machine, quick_layers
from luthier.models.heads import CausalHead
from luthier.objectives.sft import PreparedSFT
from luthier.preparation.batches import Batch, collate
from luthier.preparation.examples import Example
from luthier.preparation.order import Order
from luthier.preparation.store import TokenStore
from luthier.training import checkpoint
from luthier.training.loop import train
from luthier.training.optimizer import adamw, load_state, state_tensors
from luthier.training.schedule import Schedule

SPRUCE = Path(__file__).resolve().parents[2] / "luthier" / "models" / "spruce"
SEED = 17
BATCH_SIZE = 40
TOKENS_PER_MICRO_BATCH = 2304
PEAK = 2.5e-3
WEIGHT_DECAY = 0.1


def chosen(row: dict, without: str, share: float) -> bool:
    """Whether a document is read: none of the source `without`, all notes, and of the rest a share that its hash decides."""
    if row["source"] == without:
        return False
    return row["source"] == "notes" or int(digest(row["text"])[:8], 16) < share * 2**32


def framed(tokenizer, path: Path, context: int, without: str, share: float):
    """Each document as <|begin|> text <|end|>, its dialogue tokens read as such; a longer one is cut into pieces of `context` tokens."""
    with open(path, encoding="utf-8") as stream:
        for row in filter(lambda row: chosen(row, without, share), map(json.loads, stream)):
            tokens = [*tokenizer(row["text"])["input_ids"], tokenizer.eos_token_id]
            for start in range(0, len(tokens), context):
                piece = np.asarray(tokens[start : start + context], dtype=np.int32)
                if len(piece) > 1:
                    weights = np.ones(len(piece), dtype=np.float32)
                    weights[0] = 0
                    yield Example(piece, weights)


def stores(corpus: Path, work: Path, tokenizer, context: int, without: str, share: float) -> dict[str, TokenStore]:
    found = {}
    for split in ("train", "validation"):
        key = digest(sha256_file(corpus / f"{split}.jsonl"), sha256_file(SPRUCE / "tokenizer.json"), str(context), without, str(share))
        folder = work / f"tokens-{split}"
        found[split] = TokenStore.cached(folder, key) or TokenStore.build(folder, framed(tokenizer, corpus / f"{split}.jsonl", context, without, 1.0 if split == "validation" else share), key)
    return found


def right_padded(batch: Batch) -> Batch:
    """The same batch without its mask: behind the last token of a causal row there is only padding, which no token before it sees."""
    return Batch(batch.tokens_BT, batch.weight_BT, None, batch.position_BT, batch.label_B, batch.rows)


@torch.no_grad()
def validation_loss(network, objective: PreparedSFT, store: TokenStore, pad: int) -> float:
    network.eval()
    order = Order(store.lengths, batch_size=len(store), tokens_per_micro_batch=TOKENS_PER_MICRO_BATCH, seed=0, context=512)
    losses = [objective.loss(network, right_padded(collate(store, rows, pad))) for rows in order.step(0)]
    return sum(loss.total.item() for loss in losses) / sum(loss.count for loss in losses)


def begin_with(parameters: dict[str, torch.nn.Parameter], start: Path) -> None:
    """Give the parameters the newest weights of a work folder, or those of a model's folder."""
    if (start / "model.safetensors").exists():
        checkpoint.load_weights(parameters, {name: tensor.float() for name, tensor in load_file(start / "model.safetensors").items()}, start)
    else:
        folder, _, _ = checkpoint.newest(start)
        checkpoint.load_weights(parameters, checkpoint.tensors_of(folder)[0], folder)


def refuse_another_way(work: Path, how: dict) -> None:
    """A run goes on as it began; SystemExit that says what differs."""
    told = work / "how.json"
    if told.exists() and (other := json.loads(told.read_text(encoding="utf-8"))) != how:
        raise SystemExit(f"{work} began with {', '.join(f'{name} {other[name]}' for name in how if other[name] != how[name])}: go on so, or name another folder")
    told.write_text(json.dumps(how), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--start", type=Path, help="work folder whose newest weights are the start, or a model's folder; the optimizer starts anew")
    parser.add_argument("--stop", type=int, help="end after this many steps, whatever the schedule says")
    parser.add_argument("--peak", type=float, default=PEAK)
    parser.add_argument("--without", default="", help="source to leave out")
    parser.add_argument("--share", type=float, default=1.0, help="share of the documents other than notes")
    parser.add_argument("--mixed", action="store_true", help="documents of every length, and so of every source, in each step; without it a step's documents are alike in length")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    config = AutoConfig.from_pretrained(SPRUCE)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(SPRUCE)
    bf16 = machine.cpu_units()[0]
    refuse_another_way(arguments.work, {"mixed": arguments.mixed, "without": arguments.without, "share": arguments.share, "bf16": bf16})
    network = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    quick_layers.quicken(network)
    parameters = dict(network.named_parameters())
    data = stores(arguments.corpus, arguments.work, tokenizer, config.max_position_embeddings, arguments.without, arguments.share)
    order = Order(data["train"].lengths, batch_size=BATCH_SIZE, tokens_per_micro_batch=TOKENS_PER_MICRO_BATCH, seed=SEED, context=config.max_position_embeddings, group_by_length=not arguments.mixed)
    steps = int(arguments.epochs * order.steps_per_epoch)

    def batches(start: int):
        for number in range(start, steps):
            yield [right_padded(collate(data["train"], rows, tokenizer.pad_token_id)) for rows in order.step(number)]

    objective = PreparedSFT(CausalHead(autocast=torch.bfloat16 if bf16 else None), batches)
    optimizer = adamw(parameters, weight_decay=WEIGHT_DECAY, beta1=0.9, beta2=0.95, epsilon=1e-8)
    state = checkpoint.State(0, 0, 0.0)
    try:
        folder, state, _ = checkpoint.newest(arguments.work)
        weights, moments = checkpoint.tensors_of(folder)
        checkpoint.load_weights(parameters, weights, folder)
        load_state(optimizer, parameters, moments)
    except CheckpointError:
        if arguments.start:
            begin_with(parameters, arguments.start)
    schedule = Schedule(arguments.peak, steps, max(1, steps // 50), "cosine")
    learned, began = state.learned, time.time()
    print(f"{sum(p.numel() for p in parameters.values()):,} parameters, {data['train'].tokens:,} tokens an epoch, {steps} steps, from step {state.step}", flush=True)
    with open(arguments.work / "metrics.jsonl", "a", encoding="utf-8") as log:
        for step in train(network, objective, optimizer, schedule, steps=steps, seed=SEED, start=state.step, updates=state.updates):
            learned += step.count
            row = {"step": step.number, "loss": round(step.loss, 4), "gradient_norm": round(step.gradient_norm, 3), "learning_rate": step.learning_rate, "tokens": learned, "seconds": round(time.time() - began, 1)}
            if step.number % 100 == 0 or step.number == steps:
                row["validation_loss"] = round(validation_loss(network, objective, data["validation"], tokenizer.pad_token_id), 4)
                now = checkpoint.State(step.number, step.updates, learned)
                checkpoint.save(arguments.work, now, parameters, state_tensors(optimizer, parameters), {})
                checkpoint.prune(arguments.work, 2)
            if step.number % 10 == 0 or "validation_loss" in row:
                log.write(json.dumps(row) + "\n")
                log.flush()
            if step.number == arguments.stop:
                return


if __name__ == "__main__":
    main()
