"""How well a model expects text: perplexity per token, bits per character, bits per byte; all from summed nats, lower is better.

perplexity = exp(nats / tokens); bits per character = nats / ln 2 / characters (code points); bits per byte = nats / ln 2 / UTF-8 bytes.
Only the last two compare models with different tokenizers.
"""
from collections.abc import Sequence

import numpy as np

from luthier.metrics.metric import Metric, from_parts, ratio, same_rows


def perplexity(nats: Sequence[float], tokens: Sequence[int]) -> Metric:
    """exp of mean nats per token; `nats` [N] summed over each row's learned tokens, `tokens` [N] how many these are."""
    parts_NS = columns(nats, tokens)
    return from_parts("perplexity", parts_NS, exp_ratio, per_row=exp_ratio(parts_NS), higher_is_better=False)


def bits_per_character(nats: Sequence[float], characters: Sequence[int]) -> Metric:
    """Bits that the model needs per character; `characters` [N] is how many the text behind each row's nats has."""
    return per_unit("bits_per_character", nats, characters)


def bits_per_byte(nats: Sequence[float], utf8_bytes: Sequence[int]) -> Metric:
    """Bits that the model needs per UTF-8 byte; `utf8_bytes` [N] is how many the text behind each row's nats has."""
    return per_unit("bits_per_byte", nats, utf8_bytes)


def per_unit(name: str, nats: Sequence[float], units: Sequence[int]) -> Metric:
    """Bits per unit, where `units` [N] says how many each row has."""
    parts_NS = columns(np.asarray(nats, dtype=np.float64) / np.log(2), units)
    return from_parts(name, parts_NS, ratio, per_row=ratio(parts_NS), higher_is_better=False)


def columns(sums: Sequence[float], counts: Sequence[int]) -> np.ndarray:
    """[N, 2] of two columns of one length; rows in which there is nothing to count are fine, if not all are."""
    same_rows(sums, counts)
    parts_NS = np.stack([np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)], axis=1)
    if parts_NS[:, 1].sum() <= 0:
        raise ValueError("there is no token or character to measure in these rows")
    return parts_NS


def exp_ratio(sums_RS: np.ndarray) -> np.ndarray:
    """exp of first over second sum; infinity where that is too large for a number."""
    with np.errstate(over="ignore"):
        return np.exp(ratio(sums_RS))
