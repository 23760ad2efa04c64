"""The hashed 13-gram overlap equals a plain one of word tuples."""

from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data.samples.overlap import Grams, exact, overlap, words

TEXTS = st.lists(st.lists(st.sampled_from(["a", "B", "c", "7", "é", "-"]), max_size=12).map(" ".join), max_size=8)


def plain(texts: list[str], n: int) -> list[set[tuple]]:
    return [{tuple(w[i : i + n]) for i in range(len(w) - n + 1)} for w in map(words, texts)]


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 4))
def test_equals_the_plain_count(texts, others, n):
    mine, theirs = set().union(*plain(texts, n)), set().union(*plain(others, n))
    assert overlap(texts, others, n) == (len(mine & theirs) / len(mine) if mine else 0.0)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_no_gram_spans_two_texts_and_each_has_its_owner(texts, n):
    hashes, owner = Grams(n).of(texts)
    assert [sum(owner == i) for i in range(len(texts))] == [max(0, len(words(text)) - n + 1) for text in texts]
    assert len(set(hashes.tolist())) == len(set().union(*plain(texts, n)))


def test_case_spacing_and_control_tokens_do_not_hide_a_copy():
    sentence = "One two three four five six seven eight nine ten eleven twelve thirteen."
    copied = "<|user|>" + sentence.upper().replace(" ", "\n  ") + "<|end|>"
    assert overlap([copied], [sentence]) == 1.0
    assert exact(copied) == exact(sentence)
    assert overlap([sentence.replace("seven", "7")], [sentence]) == 0.0
