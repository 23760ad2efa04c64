"""Frozen embeddings of texts: what nearest neighbours and a linear probe read.

B rows, T tokens, D width.
"""
from collections.abc import Sequence

import numpy as np
import torch

from luthier.models.heads import body_of, running
from luthier.models.language_model import LanguageModel


@torch.inference_mode()
def embed(language_model: LanguageModel, rows: Sequence[Sequence[int]], *, tokens_at_once: int = 8192) -> np.ndarray:
    """Mean of the last hidden states over each row's tokens, float32 [N, D]; rows longer than the context are cut."""
    network = language_model.network
    network.eval()
    rows = [list(row)[: language_model.context] or [language_model.pad_token] for row in rows]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    found: dict[int, np.ndarray] = {}
    while order:
        size = max(1, tokens_at_once // len(rows[order[-1]]))
        group, order = order[-size:], order[:-size]
        width = len(rows[group[-1]])
        tokens_BT = torch.full((len(group), width), language_model.pad_token, device=language_model.device)
        attend_BT = torch.zeros_like(tokens_BT)
        for at, index in enumerate(group):
            tokens_BT[at, : len(rows[index])] = torch.tensor(rows[index])
            attend_BT[at, : len(rows[index])] = 1
        with running(network, language_model.head.autocast):
            hidden_BTD = body_of(network)(input_ids=tokens_BT, attention_mask=attend_BT).last_hidden_state.float()
        mean_BD = (hidden_BTD * attend_BT[..., None]).sum(1) / attend_BT.sum(1, keepdim=True)
        found.update(zip(group, mean_BD.cpu().numpy(), strict=True))
    return np.stack([found[index] for index in range(len(rows))])
