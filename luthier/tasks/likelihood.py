"""How likely a model finds a given answer after a given prompt: the basis of perplexity and of validation by rows.

Axes: B rows, T tokens.
"""
from collections.abc import Sequence

import torch

from luthier.models.language_model import LanguageModel
from luthier.preparation.batches import padded

TOKENS_AT_ONCE = 16384


def by_length(lengths: Sequence[int], tokens_at_once: int) -> list[list[int]]:
    """Indices grouped so that rows of like length share a batch of at most `tokens_at_once` tokens, padding included."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if not groups or (len(groups[-1]) + 1) * lengths[groups[-1][0]] > tokens_at_once:
            groups.append([])
        groups[-1].append(index)
    return groups


@torch.inference_mode()
def nll_of(language_model: LanguageModel, rows: Sequence[tuple[Sequence[int], Sequence[float]]]) -> list[float]:
    """Summed negative log-likelihood in nats of the weighted tokens of each row (tokens, weights); one value per row."""
    network = language_model.network
    network.eval()
    result = [0.0] * len(rows)
    for group in by_length([len(tokens) for tokens, _ in rows], TOKENS_AT_ONCE):
        width = max(len(rows[index][0]) for index in group)
        tokens_BT = torch.full((len(group), width), language_model.pad_token, dtype=torch.long)
        weight_BT = torch.zeros((len(group), width))
        attend_BT = torch.zeros((len(group), width), dtype=torch.long)
        for at, index in enumerate(group):
            tokens, weights = rows[index]
            tokens_BT[at, : len(tokens)] = torch.as_tensor(list(tokens))
            weight_BT[at, : len(tokens)] = torch.as_tensor(list(weights))
            attend_BT[at, : len(tokens)] = 1
        device = language_model.device
        logprobs_BT = language_model.head.token_logprobs(network, tokens_BT.to(device), weight_BT.to(device), attend_BT=attend_BT.to(device))
        for at, index in enumerate(group):
            result[index] = -float((logprobs_BT[at].cpu().double() * weight_BT[at]).sum())
    return result


@torch.inference_mode()
def nll_of_pairs(language_model: LanguageModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """Summed negative log-likelihood in nats of each target after its source, for an encoder-decoder; 0 for an empty target."""
    network = language_model.network
    network.eval()
    result = [0.0] * len(pairs)
    wanted = [index for index, (_, target) in enumerate(pairs) if target]
    for group in by_length([len(pairs[index][0]) + len(pairs[index][1]) for index in wanted], TOKENS_AT_ONCE):
        rows = [pairs[wanted[at]] for at in group]
        sources, targets = [source for source, _ in rows], [target for _, target in rows]
        attend_BS = (torch.arange(max(map(len, sources)))[None] < torch.tensor([len(source) for source in sources])[:, None]).long()
        weight_BT = padded([[1.0] * len(target) for target in targets], 0.0)
        tensors = [tensor.to(language_model.device) for tensor in (padded(targets, language_model.pad_token), weight_BT, padded(sources, language_model.pad_token), attend_BS)]
        logprobs_BT = language_model.head.token_logprobs(network, *tensors)
        for at, total in zip(group, logprobs_BT.double().sum(1).tolist(), strict=True):
            result[wanted[at]] = -total
    return result
