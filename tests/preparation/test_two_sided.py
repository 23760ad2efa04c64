"""What an encoder reads and a decoder writes: the source may lose its end, the target never, and every target is closed by an end token."""
from luthier.preparation.examples import TOO_LONG
from luthier.preparation.renderer import Renderer


def test_sources_and_targets(byte_tokenizer):
    renderer = Renderer(byte_tokenizer, None, 16, head="seq2seq")
    fine, cut, left = renderer.pairs([("read <|eos|>", "write"), ("x" * 40, "y"), ("short", "y" * 30)])
    item, = fine.examples
    assert byte_tokenizer.decode(item.tokens[: item.source]) == "read <|eos|>", "a control in the data is text"
    assert byte_tokenizer.decode(item.tokens[item.source :]) == "write<|eos|>" and item.tokens[-1] == byte_tokenizer.eos_token_id
    assert item.tokens[: item.source].tolist().count(byte_tokenizer.eos_token_id) == 0
    assert item.weights.tolist() == [0.0] * item.source + [1.0] * 6 and item.learned == 6
    assert cut.cut == 24 and cut.examples[0].source == 16
    assert (left.examples, left.left_out) == ((), TOO_LONG)
    assert renderer.endless == 0
    renderer.close()


def test_a_tokenizer_without_an_end_token_is_told(byte_tokenizer):
    """Without an end token a tuned model writes on and on: the check that counts such answers sees them here too."""
    import copy

    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.eos_token = None
    renderer = Renderer(tokenizer, None, 16, head="seq2seq")
    renderer.pairs([("a", "b")])
    assert renderer.endless == 1
    renderer.close()
