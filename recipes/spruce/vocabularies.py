"""Which size of vocabulary serves spruce best: tokenizers compared by bits per character at equal parameters and equal training FLOPs.

    python -m recipes.spruce.vocabularies CORPUS WORK [--sizes 2048,4096,8192] [--tokens 400000]

A network's parameters are all multiplied with every token that it learns (the embedding as the output layer), so that at one number of parameters one number
of tokens costs the same; the larger vocabulary reads more text for it. What the embedding takes, the feed-forward layers give. All other things are spruce's:
shape, corpus without notes, order, rate, schedule. Held-out documents are those of the card. A second call goes on with the sizes that are missing.
"""
import argparse
import json
import time
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from luthier.models.heads import CausalHead
from luthier.objectives.sft import PreparedSFT
from luthier.preparation.batches import collate
from luthier.preparation.order import Order
from luthier.preparation.store import TokenStore
from luthier.training.loop import train
from luthier.training.optimizer import adamw
from luthier.training.schedule import Schedule
from recipes.spruce import card, pretrain, tokenizer

CONTEXT, BATCH_SIZE = 512, 16


def shape(size: int, spruce: Path = pretrain.SPRUCE) -> AutoConfig:
    """Spruce's shape with another vocabulary and as many parameters, to a row of the feed-forward layers."""
    config = AutoConfig.from_pretrained(spruce)
    a_row = 3 * config.hidden_size * config.num_hidden_layers
    config.intermediate_size += round((config.vocab_size - size) * config.hidden_size / a_row)
    config.vocab_size = size
    return config


def made(size: int, corpus: Path, folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer of this size, made as spruce's is."""
    if not (folder / "tokenizer.json").exists():
        tokenizer.write(corpus, folder, size)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def learned(size: int, corpus: Path, work: Path, tokens: int, threads: int) -> dict:
    """Train one network from random weights on so many tokens; its figures."""
    torch.set_num_threads(threads)
    torch.manual_seed(pretrain.SEED)
    words = made(size, corpus, work / str(size))
    network = AutoModelForCausalLM.from_config(shape(size), dtype=torch.float32)
    store = TokenStore.build(work / str(size) / "tokens", pretrain.framed(words, corpus / "train.jsonl", CONTEXT, "notes", 0.25), f"{size}")
    order = Order(store.lengths, batch_size=BATCH_SIZE, tokens_per_micro_batch=pretrain.TOKENS_PER_MICRO_BATCH, seed=pretrain.SEED, context=CONTEXT)
    steps = round(tokens / (store.tokens / order.steps_per_epoch))
    batches = lambda start: ([pretrain.right_padded(collate(store, rows, words.pad_token_id)) for rows in order.step(number)] for number in range(start, steps))
    parameters = dict(network.named_parameters())
    optimizer = adamw(parameters, weight_decay=pretrain.WEIGHT_DECAY, beta1=0.9, beta2=0.95, epsilon=1e-8)
    began, seen = time.time(), 0.0
    for step in train(network, PreparedSFT(CausalHead(), batches), optimizer, Schedule(pretrain.PEAK, steps, max(1, steps // 20), "cosine"), steps=steps, seed=pretrain.SEED):
        seen += step.count
        if step.number % 20 == 0:
            print(f"{size}: step {step.number} of {steps}, loss {step.loss:.3f}, {time.time() - began:.0f} s", flush=True)
    texts = {name: documents for name, documents in card.held_out(corpus).items() if name != "notes"}
    count = sum(tensor.numel() for tensor in parameters.values())
    return {"size": size, "parameters": count, "width": network.config.intermediate_size, "tokens": seen, "flops": 6 * count * seen, "seconds": time.time() - began, "bits": card.bits_of(network.eval(), words, CONTEXT, texts, chat=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")], default=[2048, 4096, 8192])
    parser.add_argument("--tokens", type=int, default=400_000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    for size in arguments.sizes:
        told = arguments.work / f"{size}-{arguments.tokens}.json"
        if not told.exists():
            told.write_text(json.dumps(learned(size, arguments.corpus, arguments.work, arguments.tokens, arguments.threads)))
    rows = [json.loads((arguments.work / f"{size}-{arguments.tokens}.json").read_text()) for size in arguments.sizes]
    print(card.table(["vocabulary", "feed-forward", "parameters", "tokens learned", "FLOPs", *rows[0]["bits"]], [[row["size"], row["width"], f"{row['parameters']:,}", f"{row['tokens']:,.0f}", f"{row['flops']:.3g}", *(f"{value:.3f}" for value in row["bits"].values())] for row in rows]))


if __name__ == "__main__":
    main()
