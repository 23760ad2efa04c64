"""Tags of words from a class head: the likeliest sequence among the legal ones, and how sure each of its spans is.

In IOB2 an `I-x` may only follow `B-x` or `I-x`. The best legal sequence is found by Viterbi's algorithm over the log-probabilities of all tags.

W words, L tags.
"""
from collections.abc import Sequence

import numpy as np
import torch

from luthier.models.language_model import LanguageModel


@torch.inference_mode()
def tag_logprobs(language_model: LanguageModel, rows: Sequence[Sequence], num_words: Sequence[int], *, tokens_at_once: int = 8192) -> list[np.ndarray]:
    """[W, L] log-probabilities of the tags of each row's words.

    A row is its windows: examples whose targets hold, where their weight is not 0, the number of the word. Words that no window holds get
    the same probability for all tags.
    """
    network = language_model.network
    network.eval()
    flat = [(row, item) for row, items in enumerate(rows) for item in items]
    found: list[np.ndarray | None] = [None] * len(num_words)
    order = sorted(range(len(flat)), key=lambda index: len(flat[index][1].tokens))
    while order:
        size = max(1, tokens_at_once // len(flat[order[-1]][1].tokens))
        group, order = order[-size:], order[:-size]
        width = len(flat[group[-1]][1].tokens)
        tokens_BT = torch.full((len(group), width), language_model.pad_token, dtype=torch.long)
        attend_BT = torch.zeros((len(group), width), dtype=torch.long)
        for at, index in enumerate(group):
            tokens = torch.as_tensor(flat[index][1].tokens.astype("int64"))
            tokens_BT[at, : len(tokens)], attend_BT[at, : len(tokens)] = tokens, 1
        device = language_model.device
        logits_BTL = language_model.head.logits(network, tokens_BT.to(device), attend_BT.to(device)).float().log_softmax(-1).cpu().numpy()
        for at, index in enumerate(group):
            row, item = flat[index]
            if found[row] is None:
                found[row] = np.full((num_words[row], logits_BTL.shape[-1]), -np.log(logits_BTL.shape[-1]))
            places = np.flatnonzero(item.weights)
            found[row][item.targets[places]] = logits_BTL[at, places]
    outputs = network.config.num_labels
    return [np.full((count, outputs), -np.log(outputs)) if item is None else item for count, item in zip(num_words, found, strict=True)]


def legal(logprobs_WL: np.ndarray, tags: Sequence[str]) -> list[int]:
    """Indices of the likeliest legal sequence of tags; among equals the one with more words outside."""
    if not len(logprobs_WL):
        return []
    allowed_LL = transitions(tags)
    score_L = logprobs_WL[0] + np.where([tag.startswith("I-") for tag in tags], -np.inf, 0.0)
    back = np.zeros(logprobs_WL.shape, dtype=int)
    for word in range(1, len(logprobs_WL)):
        ways_LL = score_L[:, None] + allowed_LL
        back[word] = ways_LL.argmax(0)
        score_L = ways_LL.max(0) + logprobs_WL[word]
    best = [int(score_L.argmax())]
    for word in range(len(logprobs_WL) - 1, 0, -1):
        best.append(int(back[word, best[-1]]))
    return best[::-1]


def transitions(tags: Sequence[str]) -> np.ndarray:
    """[L, L] 0 where the second tag may follow the first, else minus infinity."""
    return np.array([[0.0 if not then.startswith("I-") or (before[2:] == then[2:] and before != "O") else -np.inf for then in tags] for before in tags])
