"""Text from a model in this process: batched decoding with a cache of keys and values, greedy or sampled.

A row's text does not depend on its company. Rows are padded on the left and masked; noise for sampling is a pure function of (seed, row, step);
and where the two best tokens are closer than rounding can tell apart (float32, greedy), the row is computed again alone, so that the decision
is a function of its own tokens only.

B rows, T tokens, V vocabulary.
"""
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from luthier.errors import RecipeError
from luthier.generation.text import Writer
from luthier.models.heads import body_of, projection_of, running, transformer_of
from luthier.models.language_model import LanguageModel

NEAR_TIE = 1e-4
"""Two logits closer than this, relative to the largest, may swap by rounding alone."""
LIKELIEST = 256
"""Tokens that are looked at before a whole distribution is sorted."""


@dataclass(frozen=True)
class Generation:
    """What a model wrote after one prompt."""

    text: str
    """Without the prompt, the end token and the stop string."""
    tokens: list[int]
    """Ids in the order they were chosen, the end token included."""
    seconds: float
    """This row's share of its batch's time."""
    finish: str
    """stop: an end token or a stop string came; length: the budget or the context was used up."""
    logprobs: list[float] = field(default_factory=list)
    """Of sampled tokens: log-probability of each at its temperature, before top_p and top_k, in nats; empty for greedy texts."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Only the likeliest tokens whose probabilities add up to this."""
    top_k: int = 0
    """Only so many of the likeliest tokens; 0 is all."""
    seed: int = 0
    """Decides the noise, together with row and step."""

    def __post_init__(self):
        for name, good, allowed in (
            ("temperature", 0 <= self.temperature <= 10, "0 to 10"), ("top_p", 0 < self.top_p <= 1, "above 0 to 1"), ("top_k", self.top_k >= 0, "0 or more"),
        ):
            if not good:
                raise RecipeError(f"{name} is {vars(self)[name]}; allowed is {allowed}", code="R140", field=name)


@dataclass
class Row:
    """One prompt on its way to a text."""

    index: int
    """Its place in the caller's list: part of the key of its noise."""
    prompt: list[int]
    """Token ids."""
    budget: int
    """Most tokens it may get."""
    writer: Writer
    """Turns its tokens into text."""
    tokens: list[int] = field(default_factory=list)
    """Chosen so far."""
    finish: str = ""
    """Empty while it goes on."""
    logprobs: list[float] = field(default_factory=list)
    """Of the tokens chosen so far, where they were drawn."""


def generate(
    language_model: LanguageModel, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, temperature: float = 0.0, top_p: float = 1.0, top_k: int = 0,
    seed: int = 0, stop: Sequence[str] = (), tokens_at_once: int = 16384, on_token: Callable[[int, str], None] | None = None,
) -> list[Generation]:
    """Continue every prompt (token ids), in the order given.

    `stop` ends a text before the first of these strings. `tokens_at_once` bounds a batch: rows times their longest possible length.
    `on_token(row, piece)` is told new text as it appears, in whole characters, never part of a stop string. A prompt that fills the
    context, an empty prompt or a setting out of range is a RecipeError.
    """
    sampling = Sampling(temperature, top_p, top_k, seed)
    if max_new_tokens < 1:
        raise RecipeError(f"max_new_tokens is {max_new_tokens}; allowed is 1 or more", code="R140", field="max_new_tokens")
    rows = [start_row(language_model, index, list(prompt), max_new_tokens, stop, on_token) for index, prompt in enumerate(prompts)]
    language_model.network.eval()
    results: dict[int, Generation] = {}
    waiting = sorted(rows, key=lambda row: len(row.prompt))
    while waiting:
        longest = waiting[-1]
        size = max(1, tokens_at_once // (len(longest.prompt) + longest.budget))
        group, waiting = waiting[-size:], waiting[:-size]
        began = time.perf_counter()
        with torch.inference_mode(), running(language_model.network, language_model.head.autocast):
            decode(language_model, group, sampling)
        seconds = (time.perf_counter() - began) / len(group)
        for row in group:
            results[row.index] = Generation(row.writer.close(row.tokens), row.tokens, seconds, row.finish, row.logprobs)
    return [results[index] for index in range(len(rows))]


def start_row(language_model: LanguageModel, index: int, prompt: list[int], max_new_tokens: int, stop, on_token) -> Row:
    """A row with its room in the context."""
    room = language_model.context - len(prompt)
    if not prompt or room < 1:
        what = "is empty" if not prompt else f"has {len(prompt)} tokens, the context {language_model.context}"
        raise RecipeError(f"prompt {index + 1} {what}: there is nothing to continue", code="R141", hint="shorten the prompt, or use a base with a longer context")
    tell = None if on_token is None else lambda piece: on_token(index, piece)
    return Row(index, prompt, min(max_new_tokens, room), Writer(language_model.tokenizer, prompt, stop, tell))


# ---- the stretch --------------------------------------------------------------------------------
def decode(language_model: LanguageModel, rows: list[Row], sampling: Sampling) -> None:
    """Choose tokens for all rows until each has its end; finished rows leave the batch once they are half of it."""
    stops, device = language_model.stop_tokens, language_model.device
    places: dict[tuple, int] = {}
    reads = [places.setdefault(tuple(row.prompt), len(places)) for row in rows]
    longest = max(map(len, places))
    attend = torch.zeros(len(places), longest, dtype=torch.long, device=device)
    tokens = torch.full((len(places), longest), language_model.pad_token, device=device)
    for at, prompt in enumerate(places):
        attend[at, longest - len(prompt):] = 1
        tokens[at, longest - len(prompt):] = torch.tensor(prompt, device=device)
    cache, active = DynamicCache(config=transformer_of(language_model.network).config), list(rows)
    while True:
        positions = (attend.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1]:]
        logits_BV = next_logits(language_model, tokens, attend, positions, cache)
        if len(attend) < len(active):  # a prompt that several rows go on from was read once
            index = torch.tensor(reads, device=device)
            cache.batch_select_indices(index)
            attend, logits_BV = attend[index], logits_BV[index]
        chosen = choose(language_model, logits_BV, active, sampling)
        for row, token in zip(active, chosen, strict=True):
            if not row.finish:
                take(row, token, stops)
        kept = [at for at, row in enumerate(active) if not row.finish]
        if not kept:
            return
        if len(kept) <= len(active) // 2:
            index = torch.tensor(kept, device=device)
            cache.batch_select_indices(index)
            attend, active, chosen = attend[index], [active[at] for at in kept], [chosen[at] for at in kept]
        tokens = torch.tensor(chosen, device=device)[:, None]
        attend = torch.cat([attend, attend.new_ones(len(active), 1)], 1)


def take(row: Row, token: int, stops: set[int]) -> None:
    """Give a row its next token, and its end where it comes."""
    row.tokens.append(token)
    if token in stops:
        row.finish = "stop"
    elif row.writer.write(row.tokens):
        row.finish = "stop"
    elif len(row.tokens) >= row.budget:
        row.finish = "length"


def next_logits(language_model: LanguageModel, tokens_BT: Tensor, attend_BS: Tensor | None, position_BT: Tensor | None, cache: DynamicCache | None) -> Tensor:
    """Logits of the token after each row [B, V] in float32; the cache grows by T."""
    network, head = language_model.network, language_model.head
    inputs = {"input_ids": tokens_BT, "attention_mask": attend_BS, "past_key_values": cache, "use_cache": cache is not None}
    if position_BT is not None:
        inputs["position_ids"] = position_BT
    if head.whole_logits:
        return transformer_of(network)(**inputs).logits[:, -1].float()
    return logits_of(language_model, body_of(network)(**inputs).last_hidden_state[:, -1])


def logits_of(language_model: LanguageModel, hidden_BD: Tensor) -> Tensor:
    """Logits [B, V] in float32 from last hidden states."""
    return language_model.head.transform(projection_of(language_model.network).layer(hidden_BD).float().clone())


# ---- choosing -----------------------------------------------------------------------------------
def choose(language_model: LanguageModel, logits_BV: Tensor, rows: list[Row], sampling: Sampling) -> list[int]:
    """The next token of every row."""
    if sampling.temperature == 0:
        return greedy(language_model, logits_BV, rows)
    probability_BV = (logits_BV.double() / sampling.temperature).softmax(-1).cpu()
    chosen = drawn(probability_BV, rows, sampling)
    for row, value in zip(rows, probability_BV[torch.arange(len(rows)), chosen].log().tolist(), strict=True):
        if not row.finish:
            row.logprobs.append(value)
    return chosen


def drawn(probability_BV: Tensor, rows: list[Row], sampling: Sampling) -> list[int]:
    """One token for each row. Where nothing is cut off, the likeliest few nearly always hold it, and the rest need no sorting."""
    if sampling.top_k or sampling.top_p < 1 or probability_BV.shape[1] <= 2 * LIKELIEST:
        return [sample(probability_BV[at].numpy(), row, sampling) for at, row in enumerate(rows)]
    top_BK, index_BK = probability_BV.topk(LIKELIEST, -1)
    sums_BK, index_BK = top_BK.cumsum(-1).numpy(), index_BK.numpy()
    chosen = []
    for at, row in enumerate(rows):
        place = int(np.searchsorted(sums_BK[at], noise_of(row, sampling), side="right"))
        chosen.append(int(index_BK[at, place]) if place < LIKELIEST - 1 else sample(probability_BV[at].numpy(), row, sampling))
    return chosen


def noise_of(row: Row, sampling: Sampling) -> float:
    """A number from 0 to 1 that depends on seed, row and step only."""
    return np.random.Generator(np.random.Philox(key=[sampling.seed & (2**64 - 1), row.index], counter=[len(row.tokens), 0, 0, 0])).random()


def greedy(language_model: LanguageModel, logits_BV: Tensor, rows: list[Row]) -> list[int]:
    """The likeliest token; in float32, near ties are settled by the row alone."""
    top, index = logits_BV.topk(2, -1)
    chosen = index[:, 0].tolist()
    dtype = language_model.head.autocast or next(language_model.network.parameters()).dtype
    if dtype == torch.float32:
        near = (top[:, 0] - top[:, 1]) <= NEAR_TIE * top[:, 0].abs().clamp(min=1)
        for at in near.nonzero()[:, 0].tolist():
            if not rows[at].finish:
                chosen[at] = alone(language_model, rows[at].prompt + rows[at].tokens)
    return chosen


def alone(language_model: LanguageModel, tokens: list[int]) -> int:
    """The likeliest next token, computed from nothing but the tokens: no batch, no padding, no cache."""
    logits_BV = next_logits(language_model, torch.tensor([tokens], device=language_model.device), None, None, None)
    return int(logits_BV[0].argmax())


def sample(probability_V: np.ndarray, row: Row, sampling: Sampling) -> int:
    """One token from the kept part of a distribution; its noise depends on seed, row and step only."""
    order = np.argsort(-probability_V, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    sums = np.cumsum(probability_V[order])
    kept = len(order) if sampling.top_p >= 1 else min(len(order), int(np.searchsorted(sums, sampling.top_p * sums[-1])) + 1)
    noise = noise_of(row, sampling)
    return int(order[min(int(np.searchsorted(sums[:kept], noise * sums[kept - 1], side="right")), kept - 1)])
