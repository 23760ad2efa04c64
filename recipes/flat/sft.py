"""Supervised fine-tuning written out flat: Transformers, torch, no abstraction. Tests hold Luthier's loop equal to it.

    python recipes/flat/sft.py MODEL_FOLDER STEPS.jsonl [RATE]

A line of STEPS.jsonl is one optimizer step: a list of micro-batches, each a list of rows, each {"tokens": [...], "weights": [...]}.
The loss is the sum of weighted cross-entropies over the whole step, divided by the sum of its weights.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM


def train(model, steps, *, peak, warmup, decay=0.0, clip=1.0):
    """Train on prepared steps with AdamW and a cosine schedule; yields the mean loss of each step before its update."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}], lr=0.0, betas=(0.9, 0.999), eps=1e-8)
    model.train()
    for number, micro_batches in enumerate(steps):
        count = sum(sum(row["weights"]) for rows in micro_batches for row in rows)
        mean = 0.0
        for rows in micro_batches:
            width = max(len(row["tokens"]) for row in rows)
            tokens = torch.tensor([row["tokens"] + [0] * (width - len(row["tokens"])) for row in rows])
            weights = torch.tensor([row["weights"] + [0.0] * (width - len(row["weights"])) for row in rows])
            attention = torch.tensor([[1] * len(row["tokens"]) + [0] * (width - len(row["tokens"])) for row in rows])
            logits = model(input_ids=tokens, attention_mask=attention).logits[:, :-1].float()
            losses = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1), reduction="none").view_as(tokens[:, 1:])
            loss = (losses * weights[:, 1:]).sum() / count
            loss.backward()
            mean += loss.item()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip)
        rate = peak * (number + 1) / warmup if number < warmup else peak * 0.5 * (1 + math.cos(math.pi * (number - warmup) / max(1, len(steps) - warmup)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        yield mean


if __name__ == "__main__":
    network = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
    lines = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
    for number, loss in enumerate(train(network, lines, peak=float(sys.argv[3]) if len(sys.argv) > 3 else 5e-4, warmup=max(1, len(lines) // 20)), 1):
        print(number, round(loss, 6))
