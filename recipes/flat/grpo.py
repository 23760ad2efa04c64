"""Group-relative policy optimisation written out flat: Transformers, torch, no abstraction. Tests hold Luthier's loop equal to it.

    python recipes/flat/grpo.py MODEL_FOLDER ROLLOUTS.jsonl [RATE]

A line of ROLLOUTS.jsonl is a rollout: {"prompts": [[ids]], "answers": [[ids]], "rewards": [figure]}, the answers to one prompt side by side, `group` each;
a run's folder has them below rollouts/. Every figure else (who wrote how likely, the starting model, advantages) is computed here again.
"""
import copy
import json
import math
import sys

import torch
from transformers import AutoModelForCausalLM


def answer_logprobs(model, prompt, answer, temperature):
    """Log-probability of each token of an answer behind its prompt."""
    tokens = torch.tensor([prompt + answer])
    logits = model(input_ids=tokens).logits[0, len(prompt) - 1 : -1].float() / temperature
    return logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None])[:, 0]


def train(model, rollouts, *, peak, warmup, group, updates=1, kl=0.04, clip_low=0.2, clip_high=0.2, temperature=1.0, clip=1.0):
    """Train on given rollouts with AdamW and a cosine schedule; yields the mean loss of each step before its update."""
    start = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    steps = len(rollouts) * updates
    for number in range(steps):
        rollout = rollouts[number // updates]
        prompts, answers, rewards = rollout["prompts"], rollout["answers"], torch.tensor(rollout["rewards"]).view(-1, group)
        if number % updates == 0:
            model.eval()
            with torch.no_grad():
                written = [answer_logprobs(model, p, a, temperature) for p, a in zip(prompts, answers)]
                before = [answer_logprobs(start, p, a, temperature) for p, a in zip(prompts, answers)]
        advantages = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).flatten()
        model.train()
        mean = 0.0
        for prompt, answer, old, ref, advantage in zip(prompts, answers, written, before, advantages):
            new = answer_logprobs(model, prompt, answer, temperature)
            ratio = (new - old).exp()
            policy = -torch.minimum(ratio * advantage, ratio.clamp(1 - clip_low, 1 + clip_high) * advantage)
            loss = (policy + kl * ((ref - new).exp() - (ref - new) - 1)).mean() / len(answers)
            loss.backward()
            mean += loss.item()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip)
        rate = peak * (number + 1) / warmup if number < warmup else peak * 0.5 * (1 + math.cos(math.pi * (number - warmup) / max(1, steps - warmup)))
        for group_of in optimizer.param_groups:
            group_of["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        yield mean


if __name__ == "__main__":
    network = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
    lines = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
    for number, loss in enumerate(train(network, lines, peak=float(sys.argv[3]) if len(sys.argv) > 3 else 1e-5, warmup=max(1, len(lines) // 20), group=8), 1):
        print(number, round(loss, 6))
