"""Attention in blocks of bf16 is as near to the exact result as PyTorch's own bf16 kernel, with and without masks, and is really used."""
import pytest
import torch
import torch.nn.functional as F

from luthier.models import attention
from luthier.models.attention import BlockAttention
from luthier.models.load import load


def exact(query, key, value, mask):
    leaves = [tensor.float().requires_grad_() for tensor in (query, key, value)]
    out = F.scaled_dot_product_attention(*leaves, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
    return out, leaves


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", [5, 130])
def test_values_and_gradients_are_near_the_exact_ones(masked, length, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", 32)
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, length, 8).bfloat16() for heads in (4, 2, 2))
    mask = torch.ones(length, length, dtype=torch.bool).tril().expand(2, 1, -1, -1).clone() if masked else None
    if masked:
        mask[1, :, 3:, :2] = False
    leaves = [tensor.clone().requires_grad_() for tensor in (query, key, value)]
    out = BlockAttention.apply(*leaves, mask, 8**-0.5, True)
    expected, theirs = exact(query, key, value, mask)
    grad = torch.randn_like(out)
    out.backward(grad)
    expected.backward(grad.float())
    for ours, other in zip([out, *(leaf.grad for leaf in leaves)], [expected, *(leaf.grad for leaf in theirs)], strict=True):
        assert (ours.float() - other).norm() <= 0.01 * other.norm()


def test_a_row_that_sees_nothing_is_finite():
    query, key, value = (torch.randn(1, 2, 4, 8).bfloat16().requires_grad_() for _ in range(3))
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 2:, 2:] = True
    out = BlockAttention.apply(query, key, value, mask, 1.0, True)
    out.sum().backward()
    assert all(torch.isfinite(tensor).all() for tensor in (out, query.grad, key.grad, value.grad))


def test_it_runs_in_bf16_training_and_not_in_float32(tiny_llama, monkeypatch):
    calls = []
    real = BlockAttention.apply
    monkeypatch.setattr(BlockAttention, "apply", lambda *inputs: calls.append(1) or real(*inputs))
    tokens, weight = torch.randint(7, 263, (2, 9)), torch.ones(2, 9)
    fast = load(str(tiny_llama), autocast=torch.bfloat16)
    fast.head.loss(fast.network, tokens, weight)[0].backward()
    assert len(calls) == 2
    plain = load(str(tiny_llama))
    plain.head.loss(plain.network, tokens, weight)[0].backward()
    assert len(calls) == 2


def test_packed_rows_stay_apart_in_bf16(tiny_llama):
    language_model = load(str(tiny_llama), autocast=torch.bfloat16)
    tokens = torch.randint(7, 263, (1, 24))
    positions, weight = torch.cat([torch.arange(10), torch.arange(14)])[None], torch.zeros(1, 24)
    weight[:, 11:] = 1
    losses = []
    for _ in range(2):
        losses.append(language_model.head.loss(language_model.network, tokens, weight, position_BT=positions)[0].item())
        tokens[:, :10] = torch.randint(7, 263, (1, 10))
    assert losses[0] == losses[1]
