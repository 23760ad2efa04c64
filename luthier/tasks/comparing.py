"""Two answers side by side, as a model likes them: by likelihood where it writes, by score where it has a head for that."""
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from luthier.models.language_model import LanguageModel
from luthier.preparation.examples import Prepared
from luthier.runs.events import Event, Say
from luthier.tasks.likelihood import by_length, nll_of

PAIRS_PER_REPORT = 256


def liked(language_model: LanguageModel, prepared: Sequence[Prepared], *, say: Say) -> Iterator[tuple[float, float, float | None, float | None, int, float]]:
    """For each pair: how the model likes the chosen and the rejected answer, nats of both, tokens of the chosen one, and seconds."""
    for start in range(0, len(prepared), PAIRS_PER_REPORT):
        part = [item for pair in prepared[start : start + PAIRS_PER_REPORT] for item in pair.examples]
        began = time.perf_counter()
        if language_model.head.kind == "causal":
            nll = nll_of(language_model, [(item.tokens, item.weights) for item in part])
            values = [-value / max(1, item.learned) for value, item in zip(nll, part, strict=True)]
        else:
            nll, values = [None] * len(part), scores(language_model, [item.tokens for item in part])
        seconds = 2 * (time.perf_counter() - began) / max(1, len(part))
        for at in range(0, len(part), 2):
            yield values[at], values[at + 1], nll[at], nll[at + 1], part[at].learned, seconds
        say(Event("progress", data={"task": "answers", "done": min(len(prepared), start + PAIRS_PER_REPORT), "total": len(prepared), "unit": "pairs"}))


@torch.inference_mode()
def scores(language_model: LanguageModel, rows: Sequence[Sequence[int]]) -> list[float]:
    """The score that the head gives each row of tokens."""
    network, device = language_model.network, language_model.device
    network.eval()
    found = [0.0] * len(rows)
    for group in by_length([len(row) for row in rows], 8192):
        width = max(len(rows[index]) for index in group)
        tokens_BT = torch.full((len(group), width), language_model.pad_token, dtype=torch.long)
        attend_BT = torch.zeros((len(group), width), dtype=torch.long)
        for at, index in enumerate(group):
            tokens_BT[at, : len(rows[index])] = torch.as_tensor(np.asarray(rows[index], dtype="int64"))
            attend_BT[at, : len(rows[index])] = 1
        score_B = language_model.head.logits(network, tokens_BT.to(device), attend_BT.to(device))[:, 0].float().cpu().tolist()
        for index, value in zip(group, score_B, strict=True):
            found[index] = value
    return found
