"""Heads that write words: loss and likelihood are those of Transformers' own networks, computed at the learned positions only."""
import pytest
import torch
from tiny_models import VOCABULARY

from luthier.errors import WorkFailed
from luthier.models.load import load
from luthier.models.written_heads import projected, start_token


def batch(rows=3, length=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(7, VOCABULARY, (rows, length), generator=generator)
    lengths = torch.tensor([length, length - 3, length - 1])
    attend = (torch.arange(length)[None] < lengths[:, None]).long()
    return tokens * attend, attend


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_masked_words_equal_the_networks_own_loss(tiny_model, name):
    tokens, attend = batch()
    model = load(str(tiny_model(name)), head="masked")
    assert not model.head.whole_logits, model.head.notices
    target = torch.randint(7, VOCABULARY, tokens.shape, generator=torch.Generator().manual_seed(5))
    weight = attend * (torch.rand(tokens.shape, generator=torch.Generator().manual_seed(6)) < 0.4)
    total, count = model.head.loss(model.network.eval(), tokens, weight.float(), attend_BT=attend, target_BT=target)
    theirs = model.network(input_ids=tokens, attention_mask=attend, labels=target.masked_fill(weight == 0, -100)).loss
    assert count == weight.sum() and torch.allclose(total / count, theirs, atol=1e-5)
    logprobs = model.head.target_logprobs(model.network, tokens, target, weight != 0, attend)
    assert torch.allclose(-logprobs.sum(), total, atol=1e-3)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_what_a_decoder_writes_equals_the_networks_own_loss(tiny_model, name):
    source, source_attend = batch()
    tokens, attend = batch(length=7, seed=1)
    model = load(str(tiny_model(name)), head="seq2seq")
    assert not model.head.whole_logits, model.head.notices
    inputs = {"source_BS": source, "source_attend_BS": source_attend}
    total, count = model.head.loss(model.network.eval(), tokens, attend.float(), **inputs)
    theirs = model.network(input_ids=source, attention_mask=source_attend, labels=tokens.masked_fill(attend == 0, -100)).loss
    assert count == attend.sum() and torch.allclose(total / count, theirs, atol=1e-5)
    logprobs = model.head.token_logprobs(model.network, tokens, attend.float(), source, source_attend)
    assert torch.allclose(-logprobs.sum(), total, atol=1e-3)


@pytest.mark.parametrize("name, head", [("bert", "masked"), ("t5", "seq2seq")])
def test_the_output_layer_runs_on_one_position_only(tiny_model, name, head):
    """The guard does something: what passes through the vocabulary projection is a single hidden state, whatever the batch."""
    source, attend = batch()
    model = load(str(tiny_model(name)), head=head)
    seen = []
    layer = model.network.get_output_embeddings()
    layer.register_forward_hook(lambda _, given, out: seen.append(out.shape[:-1].numel()))
    inputs = {"input_ids": source, "attention_mask": attend} | ({"decoder_input_ids": source} if head == "seq2seq" else {})
    hidden = projected(model.network, attend != 0, inputs)
    assert seen == [1] and len(hidden) == attend.sum()


@pytest.mark.parametrize("name, head", [("bert", "masked"), ("bart", "seq2seq")])
def test_a_network_that_does_something_behind_its_output_layer_is_noticed(tiny_model, name, head):
    model = load(str(tiny_model(name)), head=head)
    layer = model.network.get_output_embeddings()
    layer.register_forward_hook(lambda _, given, out: out * 2 if out.ndim == 3 else out)
    model.head.probe(model.network)
    assert model.head.whole_logits and model.head.notices
    source, attend = batch()
    more = {"target_BT": source} if head == "masked" else {"source_BS": source, "source_attend_BS": attend}
    total, _ = model.head.loss(model.network.eval(), source, attend.float(), **({"attend_BT": attend} if head == "masked" else {}), **more)
    kept = {"input_ids": source, "attention_mask": attend} | ({"decoder_input_ids": torch.cat([torch.full((3, 1), start_token(model.network)), source[:, :-1]], 1)} if head == "seq2seq" else {})
    logits = model.network(**kept).logits
    wanted = torch.nn.functional.cross_entropy(logits[attend != 0], source[attend != 0], reduction="sum")
    assert torch.allclose(total, wanted, rtol=1e-4)


def test_batches_of_another_task_are_refused(tiny_model):
    tokens, attend = batch()
    for name, head in (("bert", "masked"), ("t5", "seq2seq")):
        model = load(str(tiny_model(name)), head=head)
        with pytest.raises(WorkFailed):
            model.head.loss(model.network, tokens, attend.float())
