"""Direct preference optimisation written out flat: Transformers, torch, no abstraction. Tests hold Luthier's loop equal to it.

    python recipes/flat/dpo.py MODEL_FOLDER STEPS.jsonl [RATE]

A line of STEPS.jsonl is one optimizer step: a list of pairs, each {"chosen": ROW, "rejected": ROW} with ROW = {"tokens": [...], "weights": [...]}.
The starting model is a frozen copy, asked again for every pair: slow, and hard to get wrong.
"""
import copy
import json
import math
import sys

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM


def answer_logprob(model, row):
    """Summed log-probability of the weighted tokens of one row."""
    tokens = torch.tensor([row["tokens"]])
    logprobs = model(input_ids=tokens).logits[:, :-1].float().log_softmax(-1).gather(-1, tokens[:, 1:, None])[0, :, 0]
    return (logprobs * torch.tensor(row["weights"][1:])).sum()


def train(model, steps, *, peak, warmup, beta=0.1, clip=1.0):
    """Train on prepared steps with AdamW and a cosine schedule; yields the mean loss of each step before its update."""
    start = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    model.train()
    for number, pairs in enumerate(steps):
        mean = 0.0
        for pair in pairs:
            margin = answer_logprob(model, pair["chosen"]) - answer_logprob(model, pair["rejected"])
            with torch.no_grad():
                before = answer_logprob(start, pair["chosen"]) - answer_logprob(start, pair["rejected"])
            loss = -F.logsigmoid(beta * (margin - before)) / len(pairs)
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
    for number, loss in enumerate(train(network, lines, peak=float(sys.argv[3]) if len(sys.argv) > 3 else 1e-4, warmup=max(1, len(lines) // 20)), 1):
        print(number, round(loss, 6))
