"""Proximal policy optimisation written out flat: Transformers, torch, no abstraction. Tests hold Luthier's loop equal to it.

    python recipes/flat/ppo.py MODEL_FOLDER ROLLOUTS.jsonl [RATE]

A line of ROLLOUTS.jsonl is a rollout: {"prompts": [[ids]], "answers": [[ids]], "rewards": [figure]}; a run's folder has them below rollouts/. Values,
advantages, the KL and its strength are computed here again. The value is a linear layer on the last hidden state, zeros at the start.
"""
import copy
import json
import math
import sys

import torch
from transformers import AutoModelForCausalLM


def read(model, prompt, answer, temperature, value=None):
    """Log-probability, entropy and value of each token of an answer behind its prompt."""
    out = model(input_ids=torch.tensor([prompt + answer]), output_hidden_states=True)
    every = (out.logits[0, len(prompt) - 1 : -1].float() / temperature).log_softmax(-1)
    values = value(out.hidden_states[-1][0, len(prompt) - 1 : -1])[:, 0] if value is not None else None
    return every.gather(-1, torch.tensor(answer)[:, None])[:, 0], -(every.exp() * every).sum(-1), values


def advantages_of(rewards, values, gamma, smoothing):
    """Generalised advantage estimation over one answer."""
    found, ahead = torch.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        after = values[t + 1].item() if t + 1 < len(rewards) else 0.0
        ahead = rewards[t] + gamma * after - values[t].item() + gamma * smoothing * ahead
        found[t] = ahead
    return found


def train(model, rollouts, *, peak, warmup, passes=4, kl=0.05, kl_aim=6.0, gamma=1.0, smoothing=0.95, clip_ratio=0.2, value_clip=0.2, value_weight=0.1, entropy=0.0, temperature=1.0, clip=1.0):
    """Train on given rollouts with AdamW and a cosine schedule, every pass one step; yields the mean loss of each step before its update."""
    start = copy.deepcopy(model).eval().requires_grad_(False)
    value = torch.nn.Linear(model.config.hidden_size, 1)
    torch.nn.init.zeros_(value.weight)
    torch.nn.init.zeros_(value.bias)
    parameters = [*model.parameters(), *value.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    number, steps = 0, len(rollouts) * passes
    for rollout in rollouts:
        rows = list(zip(rollout["prompts"], rollout["answers"]))
        model.eval()
        with torch.no_grad():
            written = [read(model, prompt, answer, temperature, value) for prompt, answer in rows]
            before = [read(start, prompt, answer, temperature)[0] for prompt, answer in rows]
        scored = []
        for (old, _, _), ref, reward in zip(written, before, rollout["rewards"]):
            each = -kl * (old - ref)
            each[-1] += reward
            scored.append(each)
        raw = [advantages_of(each.tolist(), values, gamma, smoothing) for each, (_, _, values) in zip(scored, written)]
        returns = [advantage + values for advantage, (_, _, values) in zip(raw, written)]
        flat = torch.cat(raw)
        advantages = [(advantage - flat.mean()) / (flat.std(unbiased=False) + 1e-8) for advantage in raw]
        drift = torch.stack([(old - ref).sum() for (old, _, _), ref in zip(written, before)]).mean().item()
        tokens = sum(len(answer) for _, answer in rows)
        for _ in range(passes):
            model.train()
            mean = 0.0
            for (prompt, answer), (old, _, was), advantage, aim in zip(rows, written, advantages, returns):
                new, spread, values = read(model, prompt, answer, temperature, value)
                ratio = (new - old).exp()
                policy = -torch.minimum(ratio * advantage, ratio.clamp(1 - clip_ratio, 1 + clip_ratio) * advantage)
                near = was + (values - was).clamp(-value_clip, value_clip)
                loss = (policy + value_weight * 0.5 * torch.maximum((values - aim) ** 2, (near - aim) ** 2) - entropy * spread).sum() / tokens
                loss.backward()
                mean += loss.item()
            torch.nn.utils.clip_grad_norm_(parameters, clip)
            rate = peak * (number + 1) / warmup if number < warmup else peak * 0.5 * (1 + math.cos(math.pi * (number - warmup) / max(1, steps - warmup)))
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
            number += 1
            yield mean
        if kl_aim:
            kl *= 1 + max(-0.2, min(0.2, drift / kl_aim - 1)) * len(rows) / 1000


if __name__ == "__main__":
    network = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
    lines = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
    for number, loss in enumerate(train(network, lines, peak=float(sys.argv[3]) if len(sys.argv) > 3 else 1e-5, warmup=max(1, len(lines) // 20)), 1):
        print(number, round(loss, 6))
