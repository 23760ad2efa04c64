"""Plain text to examples: whole documents in chunks of at most `context` tokens, each token learned exactly once."""
import numpy as np

from luthier.preparation.examples import Example


def chunks(ids: list[int], start: list[int], end: list[int], context: int) -> list[Example]:
    """Examples that cover `start` + `ids` + `end`, in chunks as equal as possible.

    A chunk begins with the last token of the one before, as context: every token but the very first is predicted once, none twice. Where
    the tokenizer has no start token, the very first token has nothing before it and is context.
    """
    tokens = np.asarray([*start, *ids, *end], dtype=np.int32)
    learned = len(tokens) - max(1, len(start))
    if learned < 1:
        return []
    count = -(-(len(tokens) - 1) // (context - 1))
    edges = np.linspace(0, len(tokens) - 1, count + 1).round().astype(int)
    examples = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        part = tokens[first:last + 1]
        weights = np.ones(len(part), dtype=np.float32)
        weights[: max(1, len(start) - first)] = 0
        examples.append(Example(part, weights))
    return examples
