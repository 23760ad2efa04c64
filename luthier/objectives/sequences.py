"""Whole answers side by side: how likely the model and the starting model find each, the latter computed once and kept by the hash of what it came from.

B rows of a micro-batch, T tokens, N examples of a split.
"""
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luthier.errors import CheckpointError
from luthier.files import digest, staged_folder, verify
from luthier.models.token_logprobs import token_logprobs
from luthier.objectives.materials import Materials, whole
from luthier.preparation.batches import Batch
from luthier.preparation.order import permutation
from luthier.runs.events import Event

VERSION = "1"
"""Of what is kept about the starting model."""
PARTNERS = 7  # the purpose of the random stream that pairs prompts with answers to others
TIMES_LARGER = 4
"""A pass without gradient takes so many times the tokens of one with."""


@dataclass(frozen=True)
class Answers:
    """A micro-batch of whole answers; of pairs, first all chosen and then, in the same order, all rejected."""

    batch: Batch
    reference_B: Tensor | None = None
    """Summed log-probability of each answer under the starting model, in nats."""
    shift: float = 0.0
    """A figure of the whole step that its micro-batches share."""

    @property
    def rows(self) -> list[list[int]]:
        """Which examples stand in it."""
        return self.batch.rows


def stacked(rows: Sequence[tuple[Sequence[int], Sequence[float]]], pad_token: int, device) -> Batch:
    """The tensors of rows given as (tokens, weights)."""
    width = max(len(tokens) for tokens, _ in rows)
    tokens_BT = torch.full((len(rows), width), pad_token, dtype=torch.int64)
    weight_BT, attend_BT = torch.zeros(len(rows), width), torch.zeros(len(rows), width, dtype=torch.int64)
    for at, (tokens, weights) in enumerate(rows):
        tokens_BT[at, : len(tokens)] = torch.as_tensor(tokens, dtype=torch.int64)
        weight_BT[at, : len(tokens)] = torch.as_tensor(weights, dtype=torch.float32)
        attend_BT[at, : len(tokens)] = 1
    return Batch(tokens_BT, weight_BT, attend_BT, None, None, [[at] for at in range(len(rows))]).to(device)


def answer_logprobs(head, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Summed log-probability of each row's answer, in nats, and its number of tokens: both [B], the first with gradient."""
    logprob_BT, _ = token_logprobs(head, network, batch.tokens_BT, batch.weight_BT, batch.attend_BT)
    weight_BT = batch.weight_BT[:, 1:]
    return (logprob_BT * weight_BT).sum(-1), weight_BT.sum(-1)


# ---- pairs --------------------------------------------------------------------------------------
class Pairs:
    """The pairs of each split: examples 2 k and 2 k + 1 are the chosen and the rejected answer of pair k."""

    def __init__(self, materials: Materials, references: dict[str, Tensor] | None = None):
        self.materials, self.references = materials, references or {}
        self.context = 2 * materials.language_model.context
        self.order = materials.order(lengths=self.widths("train"), context=self.context)

    def widths(self, split: str):
        """Room that each pair takes, padding included."""
        return 2 * self.materials.stores[split].lengths.reshape(-1, 2).max(1)

    def batch(self, split: str, rows: list[list[int]]) -> Answers:
        pairs = [pair for row in rows for pair in row]
        examples = [2 * pair for pair in pairs] + [2 * pair + 1 for pair in pairs]
        reference = self.references.get(split)
        batch = self.materials.batch(split, [[index] for index in examples])
        return Answers(batch, None if reference is None else reference[examples].to(batch.tokens_BT.device))

    def steps(self, start: int) -> Iterator[list[Answers]]:
        """The micro-batches of every step after `start`, without end."""
        number = start
        while True:
            yield [self.batch("train", rows) for rows in self.order.step(number)]
            number += 1

    def held_out(self) -> Iterator[Answers]:
        """The validation pairs once."""
        if "validation" in self.materials.stores:
            for rows in whole(self.widths("validation"), TIMES_LARGER * self.materials.tokens_per_micro_batch, self.context):
                yield self.batch("validation", rows)


# ---- the starting model ---------------------------------------------------------------------------
def references(materials: Materials) -> dict[str, Tensor]:
    """Summed log-probability [N] of every example under the starting model, by split."""
    return {split: once(materials, f"answers {store.key}", lambda split=split: of_examples(materials, split)) for split, store in materials.stores.items() if split != "test" and len(store)}


def once(materials: Materials, name: str, compute: Callable[[], Tensor]) -> Tensor:
    """What `compute` gives, from the shared folder where it was computed before from the same base, data and precision."""
    if materials.kept is None:
        return compute()
    model = materials.language_model
    folder = materials.kept / digest(VERSION, model.fingerprint, name, str(model.head.autocast), str(next(model.network.parameters()).dtype))[:32]
    try:
        verify(folder)
        return load_file(folder / "logprobs.safetensors")["logprobs"]
    except (CheckpointError, OSError):
        found = compute()
    materials.kept.mkdir(parents=True, exist_ok=True)
    with staged_folder(folder) as stage:
        save_file({"logprobs": found.contiguous()}, stage / "logprobs.safetensors")
    return found


@torch.no_grad()
def of_examples(materials: Materials, split: str) -> Tensor:
    """Summed log-probability of each example's answer under the starting model."""
    store = materials.stores[split]
    found, done = torch.zeros(len(store)), 0
    with materials.reference() as network:
        network.eval()
        for rows in whole(store.lengths, TIMES_LARGER * materials.tokens_per_micro_batch, materials.language_model.context):
            logprob_B, _ = answer_logprobs(materials.head, network, materials.batch(split, rows))
            found[[index for row in rows for index in row]] = logprob_B.float().cpu()
            done += len(rows)
            materials.say(Event("progress", data={"task": f"the starting model reads {split}", "done": done, "total": len(store), "unit": "answers"}))
    return found


@torch.no_grad()
def of_rows(materials: Materials, rows: Sequence[tuple[Sequence[int], Sequence[float]]], network: nn.Module) -> Tensor:
    """Summed log-probability [N] of each row's answer under a network, dropout off."""
    network.eval()
    found = torch.zeros(len(rows))
    for group in whole(np.array([len(tokens) for tokens, _ in rows]), TIMES_LARGER * materials.tokens_per_micro_batch, materials.language_model.context):
        index = [at for row in group for at in row]
        model = materials.language_model
        found[index] = answer_logprobs(materials.head, network, stacked([rows[at] for at in index], model.pad_token, model.device))[0].float().cpu()
    return found


# ---- answers to other prompts ---------------------------------------------------------------------
class Strangers:
    """For each example its prompt with the answer of another, drawn once: what a model says of answers that do not belong is its drift from the start."""

    def __init__(self, materials: Materials, split: str):
        self.materials, self.store = materials, materials.stores[split]
        self.partner = permutation(len(self.store), materials.seed, PARTNERS, 0)
        name = f"strangers {self.store.key} {materials.seed}"
        self.reference = once(materials, name, lambda: self._of_start())

    def row(self, index: int) -> tuple[list[int], list[float]]:
        """The prompt of one example and the answer of the one after it in the drawn ring, cut to the context."""
        ring = self.ring
        own, other = self.store[index], self.store[ring[index]]
        prompt = own.tokens[: int(np.flatnonzero(own.weights)[0])].tolist()
        answer = other.tokens[other.weights > 0].tolist()[: max(1, self.materials.language_model.context - len(prompt))]
        prompt = prompt[-(self.materials.language_model.context - len(answer)) :]
        return prompt + answer, [0.0] * len(prompt) + [1.0] * len(answer)

    @functools.cached_property
    def ring(self) -> np.ndarray:
        """The partner of each example: never itself where there are two."""
        follower = np.empty(len(self.partner), dtype=np.int64)
        follower[self.partner] = np.roll(self.partner, -1)
        return follower

    def _of_start(self) -> Tensor:
        with self.materials.reference() as network:
            return of_rows(self.materials, [self.row(index) for index in range(len(self.store))], network)

    def shift(self, network: nn.Module, examples: Sequence[int]) -> float:
        """Mean drift over some examples, at least 0."""
        now = of_rows(self.materials, [self.row(index) for index in examples], network)
        return max(0.0, (now - self.reference[list(examples)]).double().mean().item())
