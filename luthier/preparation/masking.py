"""Masks for learning words from their surroundings (BERT, arXiv:1810.04805): dynamic, and a pure function of a key, the step and the example.

Of the tokens of a text 15 % are chosen; of these 80 % become the mask token, 10 % a random token, 10 % stay as they are; the loss asks for
all of them. With whole words, the sub-words of a word are chosen together. Noise is keyed by (seed, step, index of the example): a resumed
run masks what the uninterrupted one would have masked, and an epoch never repeats the masks of another.
"""
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from luthier.errors import RecipeError
from luthier.preparation.examples import NOTHING_LEARNED, Example, Prepared, example

MASKED, RANDOM = 0.8, 0.1
PURPOSE = 0x6D61736B
"""Keeps this stream of noise apart from others with the same key."""


@dataclass(frozen=True)
class Masking:
    """How texts of one tokenizer are masked."""

    mask_token: int
    """The id that hides a token."""
    vocabulary: int
    """Ids below this are tokens."""
    never: frozenset[int] = frozenset()
    """Special ids: never masked, never put in the place of another token."""
    rate: float = 0.15
    """Share of a text's tokens that are asked for."""
    whole_words: bool = False
    """Whether the sub-words of a word are chosen together."""
    ordinary: np.ndarray = field(init=False, repr=False, compare=False, default=None)
    """Ids that may stand in for another token."""

    def __post_init__(self):
        object.__setattr__(self, "ordinary", np.array([token for token in range(self.vocabulary) if token not in self.never], dtype=np.int32))

    def at(self, seed: int, step: int) -> Callable[[Example, int], Example]:
        """The noise of one step, for `collate`."""
        return lambda item, index: self.masked(item, (seed, step, index))

    def masked(self, item: Example, key: tuple[int, ...]) -> Example:
        """An example with masks: targets hold the tokens that were there, weights say where something is asked."""
        places = np.flatnonzero(item.weights)
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([PURPOSE, *(int(part) & (2**64 - 1) for part in key)])))
        chosen = self.chosen(places, item.targets[places], random)
        tokens, weights = item.tokens.copy(), np.zeros(len(item.tokens), dtype=np.float32)
        draw = random.random(len(chosen))
        hidden, swapped = chosen[draw < MASKED], chosen[(draw >= MASKED) & (draw < MASKED + RANDOM)]
        tokens[hidden] = self.mask_token
        tokens[swapped] = self.ordinary[random.integers(len(self.ordinary), size=len(swapped))]
        weights[chosen] = item.weights[chosen]
        return dataclasses.replace(item, tokens=tokens, weights=weights, targets=np.asarray(item.tokens, dtype=np.int32))

    def chosen(self, places: np.ndarray, words: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Which places are asked for: so many that their share is the rate, at least one; whole words in random order until there are enough."""
        wanted = max(1, round(self.rate * len(places)))
        if not self.whole_words:
            return np.sort(random.permutation(places)[:wanted])
        numbers = random.permutation(np.unique(words))
        sizes = np.cumsum([int((words == number).sum()) for number in numbers])
        # the word that would overshoot is taken where that is nearer to the rate than leaving it
        count = max(1, int(np.searchsorted(sizes, wanted, side="right")))
        if count < len(sizes) and sizes[count] - wanted < wanted - (sizes[count - 1] if sizes[count - 1] <= wanted else 0):
            count += 1
        return places[np.isin(words, numbers[:count])]


def texts(ids: Sequence[int], words: Sequence[int], start: list[int], end: list[int], context: int, never: frozenset[int]) -> Prepared:
    """The examples of one text in pieces as equal as possible; `words` says which word each token belongs to."""
    room = context - len(start) - len(end)
    if not ids:
        return Prepared((), NOTHING_LEARNED)
    edges = np.linspace(0, len(ids), -(-len(ids) // room) + 1).round().astype(int)
    found = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        tokens = [*start, *ids[first:last], *end]
        weights = [0.0] * len(start) + [float(token not in never) for token in ids[first:last]] + [0.0] * len(end)
        found.append(example(tokens, weights, targets=[0] * len(start) + list(words[first:last]) + [0] * len(end)))
    kept = tuple(item for item in found if item.learned)
    return Prepared(kept, None if kept else NOTHING_LEARNED)


def word_numbers(tokens: Sequence[str], *, wordpiece: bool) -> list[int]:
    """The number of the word that each token belongs to, from the tokens' own spelling: `##ing` goes on, `Ġthe` and `▁the` begin, and so do signs beside letters."""
    numbers, number, before = [], -1, ""
    for token in tokens:
        bare = token.lstrip("Ġ▁Ċ")
        if wordpiece:
            begins = not token.startswith("##")
        else:
            begins = bare != token or not bare or not before or bare[0].isalnum() != before[-1].isalnum()
        number += begins or number < 0
        numbers.append(number)
        before = bare or " "
    return numbers


def mask_of(tokenizer) -> int:
    """The id that hides a word; RecipeError where a tokenizer has none."""
    if tokenizer.mask_token_id is None:
        raise RecipeError("this base has no mask token, so words cannot be masked for it", code="R156", field="model", hint="choose an encoder such as a BERT, or task: causal_lm")
    return tokenizer.mask_token_id


def masking_of(tokenizer, *, rate: float, whole_words: bool) -> Masking:
    """The masking of a tokenizer; RecipeError where it has no mask token, or the rate is none."""
    if not 0 < rate < 1:
        raise RecipeError(f"task.rate is {rate}; a share of the tokens lies between 0 and 1", code="R157", field="task.rate", hint="0.15 is usual")
    return Masking(mask_of(tokenizer), len(tokenizer), frozenset(tokenizer.all_special_ids), rate, whole_words)
