"""Plain text: whole documents in chunks, each token learned once; labelled texts keep their start and say what they lose."""
import pytest
from chat_styles import bert, tokenizer_for
from hypothesis import given, strategies

from luthier.preparation.documents import chunks, windows
from luthier.preparation.renderer import Renderer


@given(ids=strategies.lists(strategies.integers(10, 99), min_size=0, max_size=60), start=strategies.sampled_from([[], [1], [1, 2]]), end=strategies.sampled_from([[], [3]]), context=strategies.integers(4, 20))
def test_each_token_is_learned_exactly_once(ids, start, end, context):
    """Positions of the document are marked by value so that coverage can be counted."""
    whole = [*start, *ids, *end]
    parts = chunks(ids, start, end, context)
    rebuilt, learned = [], 0
    for number, part in enumerate(parts):
        assert 2 <= len(part.tokens) <= context and part.weights[0] == 0
        rebuilt += part.tokens.tolist() if number == 0 else part.tokens.tolist()[1:]
        learned += part.learned
    if parts:
        assert rebuilt == whole
        assert learned == len(whole) - max(1, len(start))
        sizes = [len(part.tokens) for part in parts]
        assert max(sizes) - min(sizes) <= 1
    else:
        assert len(whole) <= max(1, len(start))


@pytest.mark.parametrize("kind", ["bytes", "always", "first", "legacy", "unigram"])
def test_a_document_is_the_tokenizers_own_ids_and_an_end(kind):
    tokenizer = tokenizer_for("plain", kind)
    renderer = Renderer(tokenizer, None, 16)
    text = "the guitar was in tune, and the string long. " * 6
    prepared = renderer.document(text)
    rebuilt = prepared.examples[0].tokens.tolist() + [token for part in prepared.examples[1:] for token in part.tokens.tolist()[1:]]
    assert rebuilt == tokenizer(text)["input_ids"] + [tokenizer.eos_token_id]
    assert rebuilt[0] == tokenizer.bos_token_id and prepared.cut == 0 and prepared.left_out is None
    assert renderer.text(text) == tokenizer(text)["input_ids"]
    assert renderer.document("").left_out == "no token would be learned"
    assert [item.examples[0].tokens.tolist() for item in renderer.documents(["one", "two words"])] == [renderer.document(text).examples[0].tokens.tolist() for text in ("one", "two words")]


def test_labelled_texts_for_a_head():
    tokenizer = bert()
    renderer = Renderer(tokenizer, None, 12, head="sequence_class")
    assert renderer.notices == []
    (short,) = renderer.labelled("the guitar", 3).examples
    assert short.tokens.tolist() == tokenizer("the guitar")["input_ids"] and short.label == 3 and short.learned == 0
    prepared = renderer.labelled("the guitar string " * 10, 1)
    (long,) = prepared.examples
    whole = tokenizer("the guitar string " * 10)["input_ids"]
    assert len(long.tokens) == 12 and long.tokens.tolist() == [*whole[:11], whole[-1]]
    assert prepared.cut == long.cut == len(whole) - 12 > 0
    forged = renderer.labelled("[SEP] the [CLS] guitar [MASK]", 0).examples[0].tokens.tolist()
    assert forged.count(tokenizer.sep_token_id) == 1 == forged.count(tokenizer.cls_token_id) and tokenizer.mask_token_id not in forged


@given(length=strategies.integers(1, 80), start=strategies.sampled_from([[], [1]]), context=strategies.integers(4, 20), share=strategies.floats(0.05, 1))
def test_windows_measure_every_token_once_with_enough_before_it(length, start, context, share):
    stride = max(1, min(context - 1, round(share * context)))
    ids = list(range(100, 100 + length))
    whole, seen = [*start, *ids, 3], []
    for part in windows(ids, start, [3], context, stride):
        assert len(part.tokens) <= context and part.weights[0] == 0
        at = whole.index(part.tokens[0])
        assert part.tokens.tolist() == whole[at : at + len(part.tokens)]
        for place in part.weights.nonzero()[0]:
            seen.append(at + int(place))
            assert place >= min(at + place, context - stride), "enough stands before it"
    assert seen == list(range(max(1, len(start)), len(whole)))
