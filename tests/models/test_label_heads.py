"""Heads with classes and numbers: their loss is that of Transformers' own network, padding changes nothing, and the last layer takes mean and spread in."""
import pytest
import torch
import torch.nn.functional as F
from tiny_models import VOCABULARY

from luthier.models.label_heads import output_layer
from luthier.models.load import load
from luthier.preparation.batches import collate
from luthier.preparation.examples import example
from luthier.preparation.store import TokenStore

NAMES = ("bert", "roberta", "distilbert", "llama", "gpt2")


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(7, VOCABULARY, (4, 12), generator=generator)
    attend = (torch.arange(12)[None] < torch.tensor([12, 9, 12, 5])[:, None]).long()
    return tokens * attend, attend


@pytest.mark.parametrize("name", NAMES)
def test_token_classes_equal_the_networks_own_loss(tiny_model, rows, name):
    tokens, attend = rows
    model = load(str(tiny_model(name)), head="token_class", labels=["place", "sum"])
    assert model.network.config.id2label == {0: "O", 1: "B-place", 2: "I-place", 3: "B-sum", 4: "I-sum"}
    target = torch.randint(0, 5, (4, 12), generator=torch.Generator().manual_seed(1))
    weight = attend.float() * (torch.rand(4, 12, generator=torch.Generator().manual_seed(2)) < 0.5)
    total, count = model.head.loss(model.network.eval(), tokens, weight, attend_BT=attend, target_BT=target)
    theirs = model.network(input_ids=tokens, attention_mask=attend, labels=target.masked_fill(weight == 0, -100)).loss
    assert count == weight.sum() and torch.allclose(total / count, theirs, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("head", ["multi_label", "regression"])
def test_rows_equal_the_networks_own_loss(tiny_model, rows, name, head):
    tokens, attend = rows
    model = load(str(tiny_model(name)), head=head, labels=["a", "b", "c"])
    value = torch.rand(4, 3 if head == "multi_label" else 1, generator=torch.Generator().manual_seed(1))
    value = value.round() if head == "multi_label" else value
    total, count = model.head.loss(model.network.eval(), tokens, attend.float(), attend_BT=attend, value_BK=value)
    theirs = model.network(input_ids=tokens, attention_mask=attend, labels=value.squeeze(1) if head == "regression" else value).loss
    assert count == 4 and torch.allclose(total / count, theirs * (0.5 if head == "regression" else 1), atol=1e-5)


def test_shares_weigh_rows(tiny_bert, rows):
    tokens, attend = rows
    model = load(str(tiny_bert), head="sequence_class", labels=["a", "b"])
    label, share = torch.tensor([0, 1, 1, 0]), torch.tensor([1.0, 3.0, 0.0, 2.0])
    total, count = model.head.loss(model.network.eval(), tokens, attend.float(), attend_BT=attend, label_B=label, share_B=share)
    each = F.cross_entropy(model.head.logits(model.network, tokens, attend), label, reduction="none")
    assert count == 6 and torch.allclose(total, (each * share).sum())


@pytest.mark.parametrize("name", NAMES)
def test_settling_moves_mean_and_spread_into_the_network(tiny_model, rows, name):
    tokens, attend = rows
    model = load(str(tiny_model(name)), head="regression")
    model.head.fit([10.0, 12.0, 20.0], model.network)
    assert model.head.spread > 1 and (model.head.mean == 14 or output_layer(model.network).bias is None)
    before = model.head.values(model.network.eval(), tokens, attend)
    model.head.settle(model.network)
    after = model.network(input_ids=tokens, attention_mask=attend).logits[:, 0]
    assert (model.head.mean, model.head.spread) == (0.0, 1.0) and torch.allclose(before, after, atol=1e-4)


def test_a_batch_without_targets_is_refused(tiny_bert, rows):
    from luthier.errors import WorkFailed

    tokens, attend = rows
    for head in ("token_class", "multi_label", "regression"):
        model = load(str(tiny_bert), head=head, labels=["a", "b"])
        with pytest.raises(WorkFailed):
            model.head.loss(model.network, tokens, attend.float(), attend_BT=attend)


def test_targets_values_and_shares_come_through_the_store(tmp_path):
    made = [example([1, 5, 6], [0, 1, 0], targets=[0, 2, 0]), example([1, 7], [0, 1], targets=[0, 3])]
    store = TokenStore.build(tmp_path / "targets", made)
    batch = collate(store, [[0], [1]], 0)
    assert batch.target_BT.tolist() == [[0, 2, 0], [0, 3, 0]] and batch.weight_BT.tolist() == [[0, 1, 0], [0, 1, 0]] and list(batch.more) == ["target_BT"]
    import numpy as np

    valued = [example([1, 5], values=np.array([0.5, 1.0], np.float32), share=2.0), example([1, 6], values=np.array([0.0, 1.0], np.float32))]
    batch = collate(TokenStore.build(tmp_path / "values", valued), [[0], [1]], 0)
    assert batch.value_BK.tolist() == [[0.5, 1.0], [0.0, 1.0]] and batch.share_B.tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match="every example"):
        TokenStore.build(tmp_path / "mixed", [made[0], example([1, 2], [0, 1])])


def test_sources_come_apart_from_targets(tmp_path):
    made = [example([5, 6, 7, 8, 9], [0, 0, 0, 1, 1], source=3), example([5, 8], [0, 1], source=1)]
    batch = collate(TokenStore.build(tmp_path / "two", made), [[0], [1]], 0)
    assert batch.source_BS.tolist() == [[5, 6, 7], [5, 0, 0]] and batch.source_attend_BS.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.tokens_BT.tolist() == [[8, 9], [8, 0]] and batch.weight_BT.tolist() == [[1, 1], [1, 0]]
