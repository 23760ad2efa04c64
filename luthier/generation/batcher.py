"""Rows that come and go while others run: one forward pass a step for all of them, each with its own adapter and its own way to choose.

A row's tokens do not depend on its company: rows are masked from each other, noise is keyed by the row, and in float32 two tokens that rounding
could swap are settled by the row alone, as `local` does.

N rows at hand, T tokens, V vocabulary.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache

from luthier.generation.choosing import Choosing, Likelihood, drawn, likelihood, sample
from luthier.generation.local import NEAR_TIE, logits_of, next_logits
from luthier.generation.slots import Slots
from luthier.generation.stepping import stepper_of
from luthier.generation.text import Writer
from luthier.methods.bank import BASE, Bank
from luthier.models.heads import running, transformer_of
from luthier.models.language_model import LanguageModel

Told = Callable[[int, "Likelihood | None"], None]


@dataclass(eq=False)
class Seat:
    """One text being written."""

    prompt: list[int]
    budget: int
    """Most tokens that it may get."""
    writer: Writer
    choosing: Choosing = field(default_factory=Choosing)
    adapter: int = BASE
    """Its place in the bank."""
    stops: frozenset[int] = frozenset()
    """Tokens that end it."""
    on_token: Told | None = None
    """Told each token with its likelihood, before the writer tells the text."""
    tokens: list[int] = field(default_factory=list)
    finish: str = ""
    """Empty while it goes on; stop, length, cancelled or error."""
    cancelled: bool = False
    """Set from outside; the row leaves before the next step."""


class Batcher:
    """The rows at hand on one base. One thread calls it."""

    def __init__(self, language_model: LanguageModel, bank: Bank | None, *, max_rows: int = 16):
        self.language_model, self.bank, self.max_rows = language_model, bank, max_rows
        self.seats: list[Seat] = []
        self.slots = Slots(transformer_of(language_model.network).config.num_hidden_layers, max_rows)
        dtype = language_model.head.autocast or next(language_model.network.parameters()).dtype
        self.exact = dtype == torch.float32
        self.short = stepper_of(language_model)
        """The short way of one token a row through this network, where it has one."""

    @property
    def free(self) -> int:
        """Rows that may still join."""
        return self.max_rows - len(self.seats)

    # ---- steps ----------------------------------------------------------------------------------
    def join(self, seats: Sequence[Seat]) -> list[Seat]:
        """Read the prompts of new rows in one pass and choose their first tokens; returns the rows that ended at once.

        Answers to one prompt read it once. That is the one list of one request: equal prompts of two who ask are read twice, so that nobody can
        tell by the time what another asked.
        """
        firsts = {(seat.adapter, id(seat.prompt)): seat for seat in seats}
        where = {key: at for at, key in enumerate(firsts)}
        prompts = [(seat.adapter, seat.prompt) for seat in firsts.values()]
        sources = [where[seat.adapter, id(seat.prompt)] for seat in seats]
        width = max(len(prompt) for _, prompt in prompts)
        tokens = torch.full((len(prompts), width), self.language_model.pad_token)
        attend = torch.zeros(len(prompts), width, dtype=torch.long)
        for at, (_, prompt) in enumerate(prompts):
            tokens[at, width - len(prompt):], attend[at, width - len(prompt):] = torch.tensor(prompt), 1
        device, cache = self.language_model.device, DynamicCache()
        positions = (attend.cumsum(-1) - 1).clamp(min=0).to(device)
        even = len({len(prompt) for _, prompt in prompts}) == 1
        logits_PV = self.forward(tokens.to(device), None if even else attend.to(device), positions, cache, [adapter for adapter, _ in prompts])
        self.slots.join(cache, [len(seat.prompt) for seat in seats], sources)
        self.seats += seats
        self.choose(logits_PV[sources], list(seats))
        return self.leave_ended()

    def step(self) -> list[Seat]:
        """One more token for every row; returns the rows that ended."""
        if not self.seats:
            return []
        self.slots.make_room()
        device = self.language_model.device
        tokens = torch.tensor([[seat.tokens[-1]] for seat in self.seats], device=device)
        logits_NV = self.forward(tokens, self.slots.attend(device), self.slots.positions(device), self.slots, [seat.adapter for seat in self.seats])
        self.slots.advance()
        self.choose(logits_NV, self.seats)
        return self.leave_ended()

    def sweep(self) -> list[Seat]:
        """Drop the rows that were cancelled; returns them."""
        for seat in self.seats:
            if seat.cancelled and not seat.finish:
                seat.finish = "cancelled"
        return self.leave_ended()

    def leave_ended(self) -> list[Seat]:
        ended = [seat for seat in self.seats if seat.finish]
        for row in range(len(self.seats) - 1, -1, -1):
            if self.seats[row].finish:
                self.seats[row] = self.seats[self.slots.leave(row)]
                self.seats.pop()
        return ended

    def clear(self) -> list[Seat]:
        """Drop all rows after a failed pass, whose buffers nobody can trust."""
        lost, self.seats = self.seats, []
        self.slots = Slots(len(self.slots.layers), self.max_rows)
        for seat in lost:
            seat.finish = seat.finish or "error"
        return lost

    # ---- passes ---------------------------------------------------------------------------------
    @torch.inference_mode()
    def forward(self, tokens: Tensor, attend: Tensor | None, positions: Tensor | None, cache, adapters: Sequence[int]) -> Tensor:
        """Logits of the next token of each row [N, V], float32, on the CPU."""
        model = self.language_model
        with running(model.network, model.head.autocast):
            if self.bank is None:
                return self.passed(tokens, attend, positions, cache, plain=True).cpu()
            with self.bank.choose(adapters):
                return self.passed(tokens, attend, positions, cache, plain=all(adapter == BASE for adapter in adapters)).cpu()

    def passed(self, tokens: Tensor, attend: Tensor | None, positions: Tensor | None, cache, *, plain: bool) -> Tensor:
        """The short way where one more token a row is wanted and there is one, else the network's own pass."""
        if cache is self.slots and self.short is not None and self.short.usable:
            return logits_of(self.language_model, self.short(tokens, attend, positions, cache, plain=plain))
        return next_logits(self.language_model, tokens, attend, positions, cache)

    def choose(self, logits_NV: Tensor, seats: Sequence[Seat]) -> None:
        """The next token of every row, told and checked for the end."""
        chosen = self.together(logits_NV, seats)
        for at, seat in enumerate(seats):
            choosing = seat.choosing
            token = chosen[at] if at in chosen else self.one(logits_NV[at], seat)
            told = None if choosing.logprobs is None else likelihood(logits_NV[at], token, choosing.logprobs)
            self.take(seat, token, told)

    def together(self, logits_NV: Tensor, seats: Sequence[Seat]) -> dict[int, int]:
        """The next tokens of the rows that need no look of their own: the likeliest of what came, or one drawn from all there is."""
        likely = [at for at, seat in enumerate(seats) if seat.choosing.plain and not seat.choosing.temperature]
        chosen = dict(zip(likely, self.likeliest(logits_NV[likely], [seats[at] for at in likely]), strict=True)) if likely else {}
        if whole := [at for at, seat in enumerate(seats) if seat.choosing.whole]:
            changed = torch.stack([seats[at].choosing.changed(logits_NV[at], seats[at].tokens) for at in whole])
            chosen |= zip(whole, drawn(changed, [seats[at].choosing for at in whole], [len(seats[at].tokens) for at in whole]), strict=True)
        return chosen

    def one(self, logits_V: Tensor, seat: Seat) -> int:
        """The next token of a row that changes its logits or samples."""
        changed = seat.choosing.changed(logits_V, seat.tokens)
        return sample(changed, seat.choosing, len(seat.tokens)) if seat.choosing.temperature else self.likeliest(changed[None], [seat])[0]

    def likeliest(self, logits_NV: Tensor, seats: Sequence[Seat]) -> list[int]:
        """The likeliest token of each row; near ties are settled by the row alone."""
        best, index = logits_NV.max(-1)
        chosen = index.tolist()
        if self.exact:
            second = logits_NV.scatter(-1, index[:, None], -torch.inf).amax(-1)
            near = (best - second) <= NEAR_TIE * best.abs().clamp(min=1)
            for at in near.nonzero()[:, 0].tolist():
                seat = seats[at]
                tokens = torch.tensor([[*seat.prompt, *seat.tokens]], device=self.language_model.device)
                alone = self.forward(tokens, None, None, None, [seat.adapter])[0]
                chosen[at] = int(seat.choosing.changed(alone, seat.tokens).argmax())
        return chosen

    def take(self, seat: Seat, token: int, told: Likelihood | None) -> None:
        """Give a row its next token, and its end where it comes."""
        seat.tokens.append(token)
        if seat.choosing.grammar is not None:
            seat.choosing.grammar.take(token)
        if seat.on_token is not None:
            seat.on_token(token, told)
        if token in seat.stops:
            seat.finish = "stop"
        elif seat.writer.write(seat.tokens):
            seat.finish = "stop"
        elif len(seat.tokens) >= seat.budget:
            seat.finish = "length"
