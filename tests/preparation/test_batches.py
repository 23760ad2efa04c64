"""Batches: packed rows never touch each other, and cutting a step into micro-batches changes nothing but its speed."""
import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from luthier.preparation.batches import collate
from luthier.preparation.examples import example
from luthier.preparation.order import Order
from luthier.preparation.store import TokenStore

VOCABULARY, CONTEXT, PAD = 64, 32, 0


def network(kind="llama", attention="sdpa"):
    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, attn_implementation=attention, attn_pdrop=0, resid_pdrop=0, embd_pdrop=0)
        return GPT2LMHeadModel(config).eval()
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=CONTEXT, attn_implementation=attention)
    return LlamaForCausalLM(config).eval()


def logits(model, batch):
    return model(input_ids=batch.tokens_BT, attention_mask=batch.attend_BT, position_ids=batch.position_BT, use_cache=False).logits


def store_of(folder, lengths, seed=0, change=None):
    source = np.random.default_rng(seed)
    rows = [source.integers(1, VOCABULARY, length) for length in lengths]
    if change is not None:
        rows[change] = (rows[change] % (VOCABULARY - 1)) + 1
    return TokenStore.build(folder, [example(row.tolist(), [0.0] + [float(at % 3 != 0) for at in range(1, len(row))]) for row in rows])


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("lengths", [[7, 9, 5], [1, 1, 12], [16, 16, 0 + 1], [3, 20, 4, 1]])
def test_packed_examples_never_attend_to_each_other(tmp_path, kind, attention, lengths):
    """D-10: every token of one example changed, the logits of all others in its row change by exactly 0; its own do change."""
    model = network(kind, attention)
    rows = [list(range(len(lengths))), [0]]
    before = collate(store_of(tmp_path / "a", lengths), rows, PAD)
    with torch.no_grad():
        first = logits(model, before)
        for changed in range(len(lengths)):
            after = collate(store_of(tmp_path / f"b{changed}", lengths, change=changed), rows, PAD)
            second = logits(model, after)
            edges = np.cumsum([0, *lengths])
            for other in range(len(lengths)):
                difference = (first - second)[0, edges[other]:edges[other + 1]].abs().max().item()
                assert difference > 0 if other == changed else difference == 0.0


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_packing_test_has_power(tmp_path, attention):
    """Negative control: with positions that run on, or with a mask given, examples do see each other."""
    model, lengths = network("llama", attention), [7, 9, 5]
    differences = []
    for damage in (lambda batch: {"position_ids": torch.arange(21)[None]}, lambda batch: {"position_ids": batch.position_BT, "attention_mask": torch.ones_like(batch.tokens_BT)}):
        outputs = []
        for change in (None, 0):
            batch = collate(store_of(tmp_path / str(change), lengths, change=change), [[0, 1, 2]], PAD)
            with torch.no_grad():
                outputs.append(model(input_ids=batch.tokens_BT, use_cache=False, **damage(batch)).logits)
        differences.append((outputs[0] - outputs[1])[0, 7:].abs().max().item())
    assert min(differences) > 1e-4


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_equals_alone(tmp_path, kind, attention):
    model, lengths = network(kind, attention), [7, 9, 5, 11]
    store = store_of(tmp_path / "a", lengths)
    packed = collate(store, [[0, 1, 2], [3]], PAD)
    edges = np.cumsum([0, *lengths[:3]])
    with torch.no_grad():
        together = logits(model, packed)
        for at in range(3):
            alone = logits(model, collate(store, [[at]], PAD))
            assert torch.allclose(together[0, edges[at]:edges[at + 1]], alone[0], atol=1e-5)


def gradient_of(model, store, order, step):
    """Sum over micro-batches, divided by the learned tokens of the whole step: what the loop does."""
    model.zero_grad()
    total, count = 0.0, 0.0
    for micro_batch in order.step(step):
        batch = collate(store, micro_batch, PAD)
        losses = torch.nn.functional.cross_entropy(logits(model, batch)[:, :-1].flatten(0, 1), batch.tokens_BT[:, 1:].flatten(), reduction="none")
        loss = (losses * batch.weight_BT[:, 1:].flatten()).sum()
        loss.backward()
        total, count = total + loss.item(), count + batch.weight_BT.sum().item()
    return total / count, torch.cat([parameter.grad.flatten() for parameter in model.parameters()]) / count


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_eight_at_once_equal_eight_micro_batches_of_one(tmp_path, attention, monkeypatch):
    """D-9, and the same for packing: variable lengths, masked tokens; loss within 1e-6, gradient within 1e-5, relative."""
    monkeypatch.setattr("luthier.preparation.order.START_TOKENS", 10**6)  # so that the budget alone cuts
    model = network("llama", attention)
    store = store_of(tmp_path / "a", [3, 31, 8, 17, 2, 25, 9, 12])

    def make(budget, packing=False):
        return Order(store.lengths, batch_size=8, tokens_per_micro_batch=budget, seed=0, context=CONTEXT, packing=packing)

    loss, gradient = gradient_of(model, store, make(8 * CONTEXT), 0)
    for order in (make(1), make(70), make(4 * CONTEXT, packing=True), make(1, packing=True)):
        assert order.steps_per_epoch == 1
        other_loss, other_gradient = gradient_of(model, store, order, 0)
        assert abs(loss - other_loss) <= 1e-6 * max(1, abs(loss))
        assert (gradient - other_gradient).norm() / gradient.norm() <= 1e-5
    assert len(make(8 * CONTEXT).step(0)) == 1 and len(make(1).step(0)) == 8


def test_shapes_by_hand(tmp_path):
    store = TokenStore.build(tmp_path / "a", [example([5, 6, 7], [0, 1, 1], label=2), example([8], [0], label=0), example([9, 10], [0, 0.5], label=1)])
    plain = collate(store, [[0], [1]], PAD)
    assert plain.tokens_BT.tolist() == [[5, 6, 7], [8, 0, 0]] and plain.weight_BT.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert plain.attend_BT.tolist() == [[1, 1, 1], [1, 0, 0]] and plain.position_BT is None and plain.label_B.tolist() == [2, 0]
    assert plain.learned == 2
    packed = collate(store, [[0, 2], [1]], PAD)
    assert packed.tokens_BT.tolist() == [[5, 6, 7, 9, 10], [8, 0, 0, 0, 0]]
    assert packed.position_BT.tolist() == [[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]] and packed.attend_BT is None and packed.label_B is None
    assert packed.rows == [[0, 2], [1]] and packed.to("cpu").tokens_BT.tolist() == packed.tokens_BT.tolist()
    assert collate(store, [[0]], PAD).attend_BT is None
    assert packed.tokens_BT.dtype == torch.int64 and packed.weight_BT.dtype == torch.float32


def test_padding_does_not_touch_an_encoder(tmp_path):
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=CONTEXT)).eval()
    store = store_of(tmp_path / "a", [5, 12])
    both, alone = collate(store, [[0], [1]], PAD), collate(store, [[0]], PAD)
    with torch.no_grad():
        wide = model(input_ids=both.tokens_BT, attention_mask=both.attend_BT).last_hidden_state[0, :5]
        narrow = model(input_ids=alone.tokens_BT, attention_mask=alone.attend_BT).last_hidden_state[0]
    assert torch.allclose(wide, narrow, atol=1e-6)
