"""Figures of written answers: worked by hand, equal to rouge-score and sacrebleu."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import CHRF

from luthier.metrics.text import answers, chrf, exact_match, normalised, rouge_l

ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
any_text = st.text(max_size=30)


def test_rouge_l_worked_by_hand():
    # longest common subsequence "the strings need" = 3 words; precision 3/4, recall 3/5
    metric = rouge_l(["the old strings need changing"], ["the strings need care"])
    assert metric.value == pytest.approx(2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5))


@given(st.lists(st.tuples(ascii_text, ascii_text), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_rouge_l_equals_the_library_on_ascii(pairs):
    scorer = RougeScorer(["rougeL"])
    metric = rouge_l(*zip(*pairs))
    assert metric.per_row.tolist() == [scorer.score(a, b)["rougeL"].fmeasure for a, b in pairs]


@pytest.mark.parametrize("text", ["αβγ δεζ", "струны для скрипки", "バイオリン", "小提琴的弦"])
def test_rouge_l_sees_other_scripts(text):
    assert rouge_l([text], [text]).value == 1
    assert rouge_l([text], ["something else"]).value == 0
    assert 0 < rouge_l([text], [text[: len(text) // 2]]).value < 1 or " " in text


@given(st.lists(st.tuples(any_text, any_text), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_chrf_equals_the_library_per_sentence_and_corpus(pairs):
    references, candidates = map(list, zip(*pairs))
    metric = chrf(references, candidates)
    assert metric.value == pytest.approx(CHRF().corpus_score(candidates, [references]).score, abs=1e-9)
    assert metric.per_row == pytest.approx([CHRF().sentence_score(c, [r]).score for r, c in pairs], abs=1e-9)


def test_chrf_on_a_resample_is_the_corpus_figure_of_those_rows():
    references, candidates = ["a violin bow", "spruce top", "gut strings"], ["a viola bow", "a spruce top", "steel"]
    drawn = [2, 0, 0]
    expected = CHRF().corpus_score([candidates[i] for i in drawn], [[references[i] for i in drawn]]).score
    assert chrf(references, candidates).resample(np.array([[2, 0, 1]]))[0] == pytest.approx(expected)
    assert chrf(["abc"], ["abc"]).value == 100 and chrf(["abc"], ["xyz"]).value == 0


def test_exact_match_ignores_what_no_reader_sees():
    metric = exact_match(["The bow is 12 €.", "Yes", "No"], ["the  bow is 12 €", "“Yes!”", "not"])
    assert metric.per_row.tolist() == [1, 1, 0] and metric.value == pytest.approx(2 / 3)
    assert normalised("ﬁne.") == "fine" and normalised("12.5") != normalised("12,5")


def test_all_three_come_by_name():
    assert {name: metric.value for name, metric in answers(["a b"], ["a b"]).items()} == {"rouge_l": 1, "chrf": 100, "exact_match": 1}
    with pytest.raises(ValueError):
        answers([], [])
