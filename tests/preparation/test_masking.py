"""Masks: the rates of the BERT paper, whole words, and a pure function of seed, step and index."""
import numpy as np
import pytest

from luthier.preparation.batches import collate
from luthier.preparation.examples import example
from luthier.preparation.masking import Masking, texts, word_numbers
from luthier.preparation.renderer import Renderer
from luthier.preparation.store import TokenStore

NEVER = frozenset({0, 1, 2})


def masking(**changes):
    return Masking(mask_token=3, vocabulary=500, never=NEVER | {3}, **changes)


def text_of(length, word=1):
    tokens = [1, *(10 + at % 400 for at in range(length)), 2]
    return example(tokens, [0.0, *[1.0] * length, 0.0], targets=[0, *(at // word for at in range(length)), 0])


def test_the_rates_are_those_of_the_paper():
    chosen = hidden = swapped = kept = maskable = 0
    for index in range(2000):
        item = text_of(60)
        found = masking().masked(item, (17, 4, index))
        asked = found.weights > 0
        assert not asked[[0, -1]].any(), "special tokens are never asked for"
        assert (found.targets == item.tokens).all(), "the loss asks for what stood there"
        assert (found.tokens[~asked] == item.tokens[~asked]).all(), "nothing changes where nothing is asked"
        maskable, chosen = maskable + 60, chosen + asked.sum()
        hidden += (found.tokens[asked] == 3).sum()
        same = found.tokens[asked] == item.tokens[asked]
        kept, swapped = kept + same.sum(), swapped + ((found.tokens[asked] != 3) & ~same).sum()
    assert chosen / maskable == pytest.approx(0.15, abs=0.001)
    assert hidden / chosen == pytest.approx(0.80, abs=0.01)
    assert swapped / chosen == pytest.approx(0.10, abs=0.01)
    assert kept / chosen == pytest.approx(0.10, abs=0.01)


def test_every_token_is_as_likely_to_be_asked_for_and_random_tokens_are_spread_evenly():
    asked, put = np.zeros(40), []
    for index in range(4000):
        item = text_of(40)
        found = masking().masked(item, (1, 1, index))
        asked += found.weights[1:-1] > 0
        put += found.tokens[(found.tokens != item.tokens) & (found.tokens != 3)].tolist()
    assert asked.std() / asked.mean() < 0.06
    assert not set(put) & (NEVER | {3}) and len(set(put)) > 450, "any token but special ones may stand in"


def test_whole_words_are_chosen_together():
    sizes = []
    for index in range(500):
        item = text_of(60, word=3)
        found = masking(whole_words=True).masked(item, (1, 2, index))
        asked = (found.weights > 0)[1:-1].reshape(20, 3)
        assert (asked.all(1) == asked.any(1)).all(), "all sub-words of a word, or none"
        sizes.append(asked.sum())
    assert np.mean(sizes) / 60 == pytest.approx(0.15, abs=0.01)


def test_noise_is_a_pure_function_of_its_key():
    item, one = text_of(50), masking().at(17, 5)
    again = masking().at(17, 5)
    assert (one(item, 3).tokens == again(item, 3).tokens).all()
    others = [masking().at(17, 6)(item, 3), masking().at(18, 5)(item, 3), one(item, 4)]
    assert all((one(item, 3).weights != other.weights).any() for other in others), "step, seed and index all count: no epoch repeats another's masks"


def test_a_row_has_the_same_masks_alone_and_in_company(tmp_path):
    store = TokenStore.build(tmp_path / "tokens", [text_of(length) for length in (9, 14, 30)])
    noise = masking().at(1, 2)
    together = collate(store, [[2], [0], [1]], 0, noise)
    for at, index in enumerate((2, 0, 1)):
        alone = collate(store, [[index]], 0, noise)
        width = alone.tokens_BT.shape[1]
        assert (together.tokens_BT[at, :width] == alone.tokens_BT[0]).all() and (together.weight_BT[at, :width] == alone.weight_BT[0]).all()
    assert (collate(store, [[0]], 0).tokens_BT[0].numpy() == text_of(9).tokens).all(), "without noise the text is whole"


def test_something_is_always_asked_for():
    assert masking().masked(text_of(1), (0, 0, 0)).learned == 1


def test_words_by_the_spelling_of_their_tokens():
    assert word_numbers(["un", "##believ", "##ably", ",", "good"], wordpiece=True) == [0, 0, 0, 1, 2]
    assert word_numbers(["The", "Ġun", "believ", "able", ",", "Ġit"], wordpiece=False) == [0, 1, 1, 1, 2, 3]
    assert word_numbers(["▁The", "▁bel", "ief", "."], wordpiece=False) == [0, 1, 1, 2]


def test_long_texts_are_cut_into_equal_pieces():
    prepared = texts(list(range(10, 60)), list(range(50)), [1], [2], 22, NEVER)
    assert [len(item.tokens) for item in prepared.examples] == [18, 19, 19] or sum(len(item.tokens) - 2 for item in prepared.examples) == 50
    assert [int(token) for item in prepared.examples for token in item.tokens[1:-1]] == list(range(10, 60))


def test_masks_in_a_text_are_masks_and_only_there(tiny_bert):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    renderer = Renderer(tokenizer, None, 64, head="masked")
    ids, places = renderer.with_masks("the cat [MASK] on the <mask>.")
    assert [ids[place] for place in places] == [tokenizer.mask_token_id] * 2 and ids.count(tokenizer.mask_token_id) == 2
    inside, = renderer.maskable(["a text that holds <mask> as text"])[0].examples
    assert tokenizer.mask_token_id not in inside.tokens.tolist(), "data cannot write a mask"
    renderer.close()
