"""Dropout by shared random words: the right share is dropped, each place by itself, the mean stays, and what is computed around it is what the families compute."""
import json
import shutil

import pytest
import torch
from torch import nn

from luthier.models import attention, quick_dropout
from luthier.models.load import load
from luthier.training.loop import key_noise


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_the_right_share_is_dropped_and_the_mean_stays(rate):
    torch.manual_seed(3)
    kept = quick_dropout.noise((1000, 1001), rate, torch.float32)
    count = kept.numel()
    gone = (kept == 0).float().mean().item()
    assert abs(gone - rate) < 5 * (rate * (1 - rate) / count) ** 0.5, "five standard deviations"
    assert kept.unique().tolist() == [0.0, pytest.approx(1 / (1 - rate), rel=1e-3)] and abs(kept.mean().item() - 1) < 5 * (rate / (1 - rate) / count) ** 0.5


def test_places_know_nothing_of_each_other():
    """Neighbours of a word, neighbours across words, and the same place of the next row."""
    torch.manual_seed(4)
    kept = (quick_dropout.noise((4000, 256), 0.3, torch.float32) > 0).float().flatten()
    for away in (1, 2, 3, 4, 5, 8, 16, 64, 256):
        one, other = kept[:-away] - 0.7, kept[away:] - 0.7
        assert abs((one * other).mean().item()) < 5 * 0.21 / len(one) ** 0.5


def test_a_seed_repeats_it_and_the_gradient_passes_where_the_value_does():
    layer = nn.Dropout(0.4)
    layer.__class__ = type("Dropout", (quick_dropout.QuickDropout, nn.Dropout), {})
    x = torch.randn(7, 5, requires_grad=True)
    key_noise(1, 2, "dropout")
    first = layer(x)
    key_noise(1, 2, "dropout")
    assert torch.equal(first, layer(x)) and not torch.equal(first, layer(x))
    first.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(first == 0, 0.0, 1 / 0.6), rtol=1e-4, atol=0)
    assert torch.equal(layer.eval()(x), x)
    layer.train().p = 1.0
    assert not layer(x).any(), "a rate of 1 is PyTorch's own matter"


@pytest.mark.parametrize("mask", ["none", "causal", "bool", "float", "bias", "bias and bool"])
def test_attention_with_dropout_is_pytorchs_where_nothing_is_dropped(mask, monkeypatch):
    torch.manual_seed(5)
    query, key, value = (torch.randn(2, 3, 6, 4) for _ in range(3))
    module = nn.Module()
    module.is_causal = mask == "causal"
    seen = torch.ones(2, 1, 6, 6, dtype=torch.bool).tril()
    seen[1, :, :, 4:] = False
    bias = torch.randn(1, 3, 6, 6)
    given = {
        "none": (None, None), "causal": (None, None), "bool": (seen, None), "float": (torch.where(seen, 0.0, torch.finfo(torch.float32).min), None), "bias": (None, bias), "bias and bool": (seen, bias),
    }[mask]  # fmt: skip
    wanted, _ = attention.sdpa_attention_forward(module, query, key, value, given[0], 0.0, 0.3, None, position_bias=given[1])
    monkeypatch.setattr(quick_dropout, "noise", lambda shape, rate, dtype: torch.ones(shape, dtype=dtype))
    found, _ = attention.attention_forward(module, query, key, value, given[0], 0.2, 0.3, None, position_bias=given[1])
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_rate_of_one_16_bits_and_fewer_key_heads_stay_pytorchs_own(monkeypatch):
    """One with fewer key heads than heads would not even multiply; a single query is asked, not learned."""
    asked = []
    monkeypatch.setattr(quick_dropout, "noise", lambda shape, rate, dtype: asked.append(rate) or torch.ones(shape, dtype=dtype))
    module = nn.Module()
    module.is_causal = False
    for rate, dtype in ((1.0, torch.float32), (0.2, torch.bfloat16)):
        query = torch.randn(1, 2, 3, 4, dtype=dtype)
        attention.attention_forward(module, query, query, query, None, rate, 0.5, None)
    module.num_key_value_groups = 2
    query, key = torch.randn(1, 4, 3, 4), torch.randn(1, 2, 3, 4)
    assert attention.attention_forward(module, query, key, key, None, 0.2, 0.5, None)[0].shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match="softcap"):
        attention.attention_forward(module, key, key, key, None, 0.2, 0.5, None, softcap=30.0)
    assert not asked


@pytest.mark.parametrize("family, head, rates", [("bert", "sequence_class", ("hidden_dropout_prob", "attention_probs_dropout_prob")), ("gpt2", "causal", ("resid_pdrop", "attn_pdrop"))])
def test_a_network_with_dropout_takes_it_everywhere_and_answers_as_before(family, head, rates, tiny_model, tmp_path, monkeypatch):
    """It drops in layers and in attention; asked, not taught, it drops nothing."""
    shutil.copytree(tiny_model(family), tmp_path / "base")
    (tmp_path / "base" / "config.json").write_text(json.dumps(json.loads((tmp_path / "base" / "config.json").read_text()) | dict.fromkeys(rates, 0.2)))
    model = load(str(tmp_path / "base"), head=head, **({"labels": ["a", "b"]} if head == "sequence_class" else {}))
    dropping = [module for module in model.network.modules() if isinstance(module, nn.Dropout) and module.p > 0]
    assert dropping and all(isinstance(module, quick_dropout.QuickDropout) for module in dropping) and model.network.config._attn_implementation == attention.NAME
    asked = []
    monkeypatch.setattr(quick_dropout, "noise", lambda shape, rate, dtype: asked.append(len(shape)) or torch.ones(shape, dtype=dtype))
    tokens = torch.randint(7, 200, (3, 9), generator=torch.Generator().manual_seed(1))
    given = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    still = model.network.eval()(**given).logits
    assert not asked
    torch.testing.assert_close(model.network.train()(**given).logits, still, rtol=1e-4, atol=1e-5)
    assert 4 in asked and 3 in asked, "in attention and in layers"
