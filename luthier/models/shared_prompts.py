"""Several answers to one prompt in one row: the prompt is read once, and no answer sees another.

A row is prompt, answer, answer ...; every answer goes on from the prompt's positions, and a mask lets it see the prompt and itself only (tree attention, as in
arXiv:2305.09781; for groups of answers arXiv:2506.05433). What each token is predicted from is the state of the token before it on its own branch, so the figures
are those of the answers side by side; only fewer tokens are read. Families for which masks and positions do not say all are found by a trial on their
own network and read plainly.

B plain rows, T their tokens, G shared rows, S their tokens, N learned tokens.
"""
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from luthier.models.heads import CausalHead, body_of, running, transformer_of

LONGEST_ROW = 768
"""Tokens of a shared row beyond which attention among answers that never meet costs more than their prompt; further answers begin a row of their own."""
WORTH = 0.9
"""Share of the plain cost above which nothing is shared."""
TRIED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
"""Whether a network gives the same figures either way."""


@dataclass(frozen=True)
class Shared:
    """A micro-batch with its prompts shared."""

    tokens_GS: Tensor
    position_GS: Tensor
    attend_G1SS: Tensor
    """True where a token may see another."""
    source_N: Tensor
    """Of each learned token, the place among G * S whose state predicts it; in the order of the plain rows."""


def shared(tokens_BT: Tensor, learned_BT: Tensor, attend_BT: Tensor | None, width: int) -> Shared | None:
    """The shared layout of plain rows, padded on the right; None where it would not be cheaper. `width`: of the network's states."""
    learned = learned_BT != 0
    lengths = [tokens_BT.shape[1]] * len(tokens_BT) if attend_BT is None else attend_BT.sum(-1).tolist()
    rows = [row[:length] for row, length in zip(tokens_BT.tolist(), lengths, strict=True)]
    if not len(rows) or not bool(learned[:, 1:].any(-1).all()) or bool(learned[:, 0].any()):
        return None
    starts = learned.int().argmax(-1).tolist()
    groups: dict[tuple, list[list[int]]] = {}
    for at, (row, start) in enumerate(zip(rows, starts, strict=True)):
        parts = groups.setdefault(tuple(row[:start]), [[]])
        if parts[-1] and start + sum(lengths[one] - start for one in parts[-1]) + lengths[at] - start > LONGEST_ROW:
            parts.append([])
        parts[-1].append(at)
    made = [(list(prompt), members) for prompt, parts in groups.items() for members in parts]
    widths = [len(prompt) + sum(lengths[at] - len(prompt) for at in members) for prompt, members in made]
    cost = lambda tokens: tokens * (12 * width + 4 * tokens)
    if len(made) * cost(max(widths)) > WORTH * len(rows) * cost(max(lengths)):
        return None
    return laid_out(rows, starts, made, max(widths), learned)


def laid_out(rows: list[list[int]], starts: list[int], made: list[tuple[list[int], list[int]]], longest: int, learned: Tensor) -> Shared:
    """The tensors of groups of rows behind their prompts."""
    tokens_GS, position_GS = torch.zeros(len(made), longest, dtype=torch.long), torch.zeros(len(made), longest, dtype=torch.long)
    branch_GS = torch.full((len(made), longest), -1)
    before: dict[tuple[int, int], int] = {}
    for group, (prompt, members) in enumerate(made):
        end = len(prompt)
        tokens_GS[group, :end], position_GS[group, :end], branch_GS[group, :end] = torch.tensor(prompt), torch.arange(end), 0
        for number, at in enumerate(members, 1):
            answer = rows[at][len(prompt):]
            place = slice(end, end + len(answer))
            tokens_GS[group, place], position_GS[group, place], branch_GS[group, place] = torch.tensor(answer), torch.arange(len(prompt), len(prompt) + len(answer)), number
            for step in range(len(answer)):
                before[at, len(prompt) + step] = group * longest + (end + step - 1 if step else len(prompt) - 1)
            end += len(answer)
    same = (branch_GS[:, None, :] == 0) | (branch_GS[:, None, :] == branch_GS[:, :, None])
    attend = same & torch.ones(longest, longest, dtype=torch.bool).tril()
    source = torch.tensor([before[at, place] for at, place in learned.nonzero().tolist()])
    device = learned.device
    return Shared(tokens_GS.to(device), position_GS.to(device), attend[:, None].to(device), source.to(device))


def predicting_states(head: CausalHead, network: nn.Module, tokens_BT: Tensor, learned_BT: Tensor, attend_BT: Tensor | None, plain: Callable[..., Tensor]) -> Tensor:
    """The state from which each learned token is predicted [N, D], prompts read once where that pays. `plain(tokens, learned, attend)` computes the same
    row by row."""
    config = transformer_of(network).config
    found = shared(tokens_BT, learned_BT, attend_BT, config.hidden_size) if may_share(config, network) else None
    if found is None or not tried(head, network, tokens_BT, learned_BT, attend_BT, plain):
        return plain(tokens_BT, learned_BT, attend_BT)
    return states_of(network, found)


def states_of(network: nn.Module, layout: Shared) -> Tensor:
    """States at the places that predict."""
    hidden_GSD = body_of(network)(input_ids=layout.tokens_GS, attention_mask=layout.attend_G1SS, position_ids=layout.position_GS, use_cache=False).last_hidden_state
    return hidden_GSD.flatten(0, 1)[layout.source_N]


def may_share(config, network: nn.Module) -> bool:
    """Windows are known to need more than a mask; everything else is tried."""
    window = config.sliding_window if hasattr(config, "sliding_window") else None
    return window is None and hasattr(config, "hidden_size") and TRIED.get(network, True)


def tried(head: CausalHead, network: nn.Module, tokens_BT: Tensor, learned_BT: Tensor, attend_BT: Tensor | None, plain: Callable[..., Tensor]) -> bool:
    """Once for each network: the ends of a few rows both ways, dropout off, without gradient."""
    if network in TRIED:
        return TRIED[network]
    first, start = tokens_BT[0], int((learned_BT[0] != 0).int().argmax())
    prompt, tail = first[max(0, start - 12) : start], first[start : start + 4]
    few = torch.stack([torch.cat([prompt, tail]), torch.cat([prompt, tail.flip(0)])])
    learned = torch.zeros_like(few)
    learned[:, len(prompt):] = 1
    layout = laid_out(few.tolist(), [len(prompt)] * 2, [(prompt.tolist(), [0, 1])], len(prompt) + 2 * len(tail), learned != 0)
    was_training = network.training
    network.eval()
    exact = head.autocast is None and next(network.parameters()).dtype == torch.float32
    try:
        with torch.no_grad(), running(network, head.autocast):
            ours, theirs = states_of(network, layout).float(), plain(few, learned, None).float()
        TRIED[network] = bool(((ours - theirs).abs() <= (1e-3 if exact else 5e-2) * theirs.abs().clamp(min=1)).all())
    except (RuntimeError, ValueError, IndexError, TypeError):  # a network that takes no such mask says so in its own way
        TRIED[network] = False
    finally:
        network.train(was_training)
    return TRIED[network]

