"""The project's own notes: the same every time, their answers taken from their questions, nothing of the samples in them."""

import pytest

from luthier.data.samples import KINDS, generate
from luthier.data.samples.overlap import overlap
from recipes.spruce import notes

PLAIN = [a + b + c for a in "bdfgkpz" for b in "aeiou" for c in ("rt", "nd", "st", "lm")]
WORDS = notes.Words(PLAIN[:100], [word.title() for word in PLAIN[100:]])


def test_the_same_every_time():
    assert list(notes.exchanges(WORDS, 50)) == list(notes.exchanges(WORDS, 50))
    assert list(notes.exchanges(WORDS, 20)) == list(notes.exchanges(WORDS, 50))[:20]


def test_whatever_an_answer_fills_in_stands_in_its_question():
    fixed = 0
    filled = {*WORDS.plain, *WORDS.names}
    for turns in notes.exchanges(WORDS, 500):
        for asked, answered in zip(turns[::2], turns[1::2], strict=True):
            carried = {word.strip(".,:?") for word in answered.split()} & filled
            fixed += not carried
            assert carried <= {word.strip(".,:?") for word in asked.split()}
    assert fixed < 100, "nearly every answer carries a word over; the others carry numbers or days"


def test_names_are_words_that_are_nearly_always_capital():
    text = "Anna met Ben. Anna saw the river and the boat. Ben saw Anna, Anna saw Ben. Ben left. Anna and Ben. Anna, Ben! "
    found = notes.count([text * 2])
    assert set(found.names) == {"Anna", "Ben"} and {"river", "the", "saw"} <= set(found.plain)


@pytest.mark.parametrize("kind", KINDS)
def test_no_13_words_are_a_samples(kind):
    rows = [KINDS[kind].text(row) for row in generate(kind, rows=500, seed=1)]
    assert overlap(["\n".join(turns) for turns in notes.exchanges(notes.count(rows), 1000)], rows) == 0
