"""A reward model (Bradley-Terry) written out flat: Transformers, torch, no abstraction. Tests hold Luthier's loop equal to it.

    python recipes/flat/reward.py MODEL_FOLDER STEPS.jsonl [RATE]

A line of STEPS.jsonl is one optimizer step: a list of pairs, each {"chosen": TOKENS, "rejected": TOKENS}. The model is a sequence classifier with one
output; its score of a row is read at the row's last token.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification


def score(model, tokens):
    """The one output of the model for one row of tokens."""
    return model(input_ids=torch.tensor([tokens])).logits[0, 0].float()


def train(model, steps, *, peak, warmup, center=0.0, clip=1.0):
    """Train on prepared steps with AdamW and a cosine schedule; yields the mean loss of each step before its update."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    model.train()
    for number, pairs in enumerate(steps):
        mean = 0.0
        for pair in pairs:
            chosen, rejected = score(model, pair["chosen"]), score(model, pair["rejected"])
            loss = (-F.logsigmoid(chosen - rejected) + center * (chosen + rejected) ** 2) / len(pairs)
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
    network = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], num_labels=1, dtype=torch.float32)
    lines = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
    for number, loss in enumerate(train(network, lines, peak=float(sys.argv[3]) if len(sys.argv) > 3 else 1e-4, warmup=max(1, len(lines) // 20)), 1):
        print(number, round(loss, 6))
