"""Short exchanges that the project writes for spruce: the answer takes names, numbers and words from the question.

Small models learn late to carry a word over from what was said, so it is practised apart. The words are those of the corpus itself, the
desks and lists are not the instrument shop's, and no row shares 13 words with a sample.
"""

import json
import string
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from luthier.data.samples.draws import Draws
from luthier.data.samples.overlap import CONTROL

SEED = "spruce notes 1"
FREQUENT = 3000
LETTERS = set(string.ascii_lowercase)


@dataclass(frozen=True)
class Words:
    """What can be carried over: frequent lower-case words and frequent names, most frequent first."""

    plain: list[str]
    names: list[str]


def count(texts: Iterable[str]) -> Words:
    """The frequent words of a text; a name is a word that is nearly always written with a capital."""
    written = Counter(word.strip(".,;:!?\"'()") for text in texts for word in CONTROL.sub(" ", text).split())
    plain = [w for w, _ in written.most_common(4 * FREQUENT) if len(w) > 2 and set(w) <= LETTERS]
    names = [w for w, n in written.most_common(4 * FREQUENT) if w.istitle() and w.isalpha() and len(w) > 2 and n > 5 * written[w.lower()]]
    return Words(plain[:FREQUENT], names[: FREQUENT // 4])


def exchanges(words: Words, rows: int) -> Iterator[list[str]]:
    """`rows` conversations of one to three exchanges, each as its turns."""
    table = json.loads(Path(__file__).with_name("notes.json").read_text(encoding="utf-8"))
    draws = Draws(SEED)
    for _ in range(rows):
        turns = []
        for _ in range(draws.number(1, 3)):
            slots = _slots(words, table["days"], draws)
            turns += [turn.format(**slots) for turn in draws.pick(table["exchanges"])]
        yield turns


def _slots(words: Words, days: list[str], draws: Draws) -> dict[str, str]:
    word, word2 = draws.some(words.plain, 2)
    person, person2 = draws.some(words.names, 2)
    day, day2 = draws.some(days, 2)
    digit, digit2 = draws.some("123456789", 2)
    number, number2 = (str(draws.number(10, 10 ** draws.number(2, 4) - 1)) for _ in range(2))
    mixed = [draws.pick((words.plain, words.names)) for _ in range(draws.number(3, 8))]
    listed = " ".join(draws.pick(pool) for pool in mixed)
    names = ("word", "word2", "person", "person2", "day", "day2", "digit", "digit2", "number", "number2", "list")
    return dict(zip(names, (word, word2, person, person2, day, day2, digit, digit2, number, number2, listed), strict=True))
