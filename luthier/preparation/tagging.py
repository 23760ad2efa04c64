"""Words to sub-words with a class on the first of each, in windows where a text is longer than the context: every word is learned exactly once."""
from collections.abc import Sequence

from luthier.preparation.examples import NOTHING_LEARNED, Prepared, example

CONTEXT_SHARE = 4
"""A window after the first begins with at most 1 / 4 of its room in words that the window before has learned, as context."""


def windows(words: Sequence[Sequence[int]], classes: Sequence[int], start: list[int], end: list[int], context: int) -> Prepared:
    """The examples of one text: `words` holds the sub-word ids of each word, `classes` what is predicted at its first sub-word.

    A word without sub-words (the tokenizer drops it) is not learned; one longer than a whole window loses its end, counted in `cut`.
    """
    room = context - len(start) - len(end)
    lost = sum(max(0, len(ids) - room) for ids in words)
    words = [list(ids[:room]) for ids in words]
    found, at = [], 0
    while at < len(words):
        first = led_by(words, at, room // CONTEXT_SHARE)
        last, taken = at, sum(map(len, words[first:at]))
        while last < len(words) and (taken + len(words[last]) <= room):
            taken += len(words[last])
            last += 1
        if last == at:  # the word fits only without context before it
            first, last = at, at + 1
        found.append(_window(words, classes, first, at, last, start, end))
        at = last
    kept = tuple(item for item in found if item.learned)
    return Prepared(kept, None if kept else NOTHING_LEARNED, lost)


def led_by(words: Sequence[Sequence[int]], at: int, most: int) -> int:
    """The first word of the context before word `at`."""
    taken = 0
    while at > 0 and taken + len(words[at - 1]) <= most:
        at -= 1
        taken += len(words[at])
    return at


def _window(words: Sequence[list[int]], classes: Sequence[int], first: int, learned_from: int, last: int, start: list[int], end: list[int]):
    tokens, weights, targets = list(start), [0.0] * len(start), [0] * len(start)
    for number in range(first, last):
        ids = words[number]
        if not ids:
            continue
        tokens += ids
        weights += [float(number >= learned_from)] + [0.0] * (len(ids) - 1)
        targets += [classes[number] if number >= learned_from else 0] + [0] * (len(ids) - 1)
    return example([*tokens, *end], weights + [0.0] * len(end), targets=targets + [0] * len(end))
