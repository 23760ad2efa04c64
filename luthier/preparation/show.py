"""A rendered example as a person reads it: stretches of text, each learned, read as context, or a special token."""
from itertools import groupby

from luthier.preparation.examples import Example

Span = tuple[str, str]


def spans(example: Example, tokenizer) -> list[Span]:
    """(text, kind) in order; the kinds are `learned`, `context`, `special` (a control token that is read) and `learned special` (one that is learned: the end).

    The texts joined are the example as the tokenizer decodes it.
    """
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    tokens, learned = example.tokens.tolist(), (example.weights > 0).tolist()
    kinds = [("learned " * weighs + "special" * (token in special)).strip() or "context" for token, weighs in zip(tokens, learned, strict=True)]
    result: list[Span] = []
    end, written = 0, ""
    for kind, group in groupby(kinds):
        end += sum(1 for _ in group)
        whole = tokenizer.decode(tokens[:end], skip_special_tokens=False)
        text = whole[len(written):] if whole.startswith(written) else tokenizer.decode(tokens[end - 1:end], skip_special_tokens=False)
        result.append((text, kind))
        written = whole
    return result
