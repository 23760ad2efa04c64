"""Plain text to examples: whole documents in chunks of at most `context` tokens, each token learned exactly once; and windows to measure by."""
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


def windows(ids: list[int], start: list[int], end: list[int], context: int, stride: int) -> list[Example]:
    """The same document in windows that move by at most `stride` tokens: every token is predicted once, and all but the first `context` have at least `context - stride` before them.

    Chunks side by side give the first tokens of each hardly anything to go by, which makes a model look worse than it is on long texts.
    """
    tokens = np.asarray([*start, *ids, *end], dtype=np.int32)
    if len(tokens) - max(1, len(start)) < 1:
        return []
    examples, predicted = [], max(1, len(start))
    while predicted < len(tokens):
        last = min(len(tokens), context if not examples else predicted + stride)
        first = max(0, last - context)
        weights = np.zeros(last - first, dtype=np.float32)
        weights[predicted - first :] = 1
        examples.append(Example(tokens[first:last], weights))
        predicted = last
    return examples
