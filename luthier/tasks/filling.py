"""Ask an encoder for words behind masks: one masked token at a time for pseudo-perplexity (arXiv:1910.14659), and the likeliest words for `predict`.

Pseudo-perplexity = exp(-mean over tokens of log p(token | all others)).
"""
import time
from collections.abc import Sequence

import numpy as np
import torch

from luthier.errors import DataError
from luthier.models.language_model import LanguageModel
from luthier.preparation.batches import padded
from luthier.preparation.examples import Prepared
from luthier.runs.events import Event, Say
from luthier.tasks.answers import Answer
from luthier.tasks.likelihood import by_length

TOKENS_AT_ONCE = 8192


@torch.inference_mode()
def hidden_one_by_one(language_model: LanguageModel, renderer, prepared: Sequence[Prepared], *, positions: int, say: Say) -> list[Answer]:
    """The likelihood of tokens that are masked alone, summed over each text, and how many of them are the likeliest word."""
    language_model.network.eval()
    mask, began = renderer.tokenizer.mask_token_id, time.perf_counter()
    rows = [(number, item.tokens, place) for number, each in enumerate(prepared) for item in each.examples for place in spread(np.flatnonzero(item.weights), positions, len(each.examples))]
    answers = [Answer("", nll=0.0, hits=0, tokens_in=sum(len(item.tokens) for item in each.examples)) for each in prepared]
    done = 0
    for group in by_length([len(tokens) for _, tokens, _ in rows], TOKENS_AT_ONCE):
        part = [rows[at] for at in group]
        logits_NV = masked_logits(language_model, [tokens for _, tokens, _ in part], [place for _, _, place in part], mask)
        target_N = torch.tensor([int(tokens[place]) for _, tokens, place in part], device=logits_NV.device)
        logprobs_N, best_N = logits_NV.log_softmax(-1).gather(1, target_N[:, None])[:, 0].tolist(), (logits_NV.argmax(-1) == target_N).tolist()
        for (number, _, _), logprob, right in zip(part, logprobs_N, best_N, strict=True):
            answer = answers[number]
            answer.nll, answer.hits, answer.learned_tokens = answer.nll - logprob, answer.hits + int(right), answer.learned_tokens + 1
        done += len(part)
        say(Event("progress", data={"task": "masked tokens", "done": done, "total": len(rows), "unit": "tokens"}))
    seconds = (time.perf_counter() - began) / max(1, len(answers))
    for answer in answers:
        answer.seconds = seconds
    return answers


def spread(places: np.ndarray, most: int, parts: int) -> list[int]:
    """At most `most` of the places over all `parts` of a text, evenly spread; all where `most` is 0."""
    count = len(places) if not most else min(len(places), -(-most // parts))
    return [int(places[(2 * index + 1) * len(places) // (2 * count)]) for index in range(count)]


def masked_logits(language_model: LanguageModel, rows: Sequence[np.ndarray], places: Sequence[int], mask: int) -> torch.Tensor:
    """Logits [N, V] at one place of each row, which is masked there."""
    tokens_BT = padded(rows, language_model.pad_token)
    chosen_BT = torch.zeros_like(tokens_BT, dtype=torch.bool)
    chosen_BT[torch.arange(len(rows)), torch.tensor(places)] = True
    attend_BT = (torch.arange(tokens_BT.shape[1])[None] < torch.tensor([len(row) for row in rows])[:, None]).long()
    tokens_BT = tokens_BT.masked_fill(chosen_BT, mask)
    device = language_model.device
    return language_model.head.logits_at(language_model.network, tokens_BT.to(device), chosen_BT.to(device), attend_BT.to(device))


@torch.inference_mode()
def filled(language_model: LanguageModel, renderer, texts: Sequence[str], *, count: int) -> list[dict]:
    """Each text with its likeliest words put in, and the likeliest words of every mask with their probabilities."""
    language_model.network.eval()
    found = []
    for text in texts:
        ids, places = renderer.with_masks(text)
        if not places:
            raise DataError(f"`{text[:60]}` has no mask, so there is nothing to fill in", code="D416", hint=f"write [MASK] (or {renderer.tokenizer.mask_token}) where a word is missing")
        tokens_BT = torch.tensor([ids], device=language_model.device)
        chosen_BT = torch.zeros_like(tokens_BT, dtype=torch.bool)
        chosen_BT[0, places] = True
        probabilities_NV = language_model.head.logits_at(language_model.network, tokens_BT, chosen_BT).softmax(-1)
        special = torch.tensor(sorted(set(renderer.tokenizer.all_special_ids)), device=tokens_BT.device)
        probabilities_NV[:, special] = 0.0
        top = probabilities_NV.topk(count, -1)
        fills = [[{"text": renderer.tokenizer.decode([token]).strip(), "confidence": round(sure, 4)} for token, sure in zip(tokens, shares)] for tokens, shares in zip(top.indices.tolist(), top.values.tolist())]
        for place, tokens in zip(places, top.indices.tolist(), strict=True):
            ids[place] = tokens[0]
        found.append({"answer": renderer.tokenizer.decode(ids, skip_special_tokens=True).strip(), "fills": fills, "confidence": fills[0][0]["confidence"]})
    return found
