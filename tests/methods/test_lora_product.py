"""LoRA's short way computes what PEFT's layer computes, forwards and backwards, and is left wherever a layer is not plain."""
import contextlib

import pytest
import torch
from peft.tuners.lora import Linear

from luthier.methods import METHODS, lora_product
from luthier.models.load import load


def applied(folder, seed=0, **settings):
    torch.manual_seed(seed)
    language_model = load(str(folder))
    language_model.network = METHODS["lora"](**settings).apply(language_model)
    with torch.no_grad():
        for name, parameter in language_model.network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    return language_model


def learned(language_model, autocast=None) -> tuple[float, dict]:
    """Loss and gradients of one padded batch."""
    generator = torch.Generator().manual_seed(1)
    tokens, weight = torch.randint(7, 263, (3, 20), generator=generator), torch.ones(3, 20)
    attend = torch.ones(3, 20, dtype=torch.long)
    attend[0, 12:], weight[0, 12:] = 0, 0
    network, language_model.head.autocast = language_model.network.train(), autocast
    network.zero_grad()
    total, _ = language_model.head.loss(network, tokens, weight, attend_BT=attend)
    total.backward()
    return total.item(), {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}


@contextlib.contextmanager
def counted(monkeypatch):
    """How often the short way is taken."""
    calls, real = [], lora_product.AddedProduct.apply
    with monkeypatch.context() as patch:
        patch.setattr(lora_product.AddedProduct, "apply", lambda *arguments: calls.append(1) or real(*arguments))
        yield calls


def slow(language_model):
    """The same network by PEFT's own layers."""
    for module in language_model.network.modules():
        if type(module) is lora_product.Quick:
            module.__class__ = Linear
    return language_model


@pytest.mark.parametrize(("family", "layers"), [("llama", 7), ("qwen2", 7), ("gemma2", 7), ("gpt2", 4)])
def test_loss_and_gradients_are_pefts(family, layers, tiny_model, monkeypatch):
    quick = applied(tiny_model(family), rank=4)
    with counted(monkeypatch) as calls:
        loss, gradients = learned(quick)
    other, wanted = learned(slow(quick))
    assert len(calls) == 2 * layers and loss == pytest.approx(other, rel=1e-6) and set(gradients) == set(wanted)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5)


def test_under_autocast_a_bf16_base_learns_the_same(tiny_llama, monkeypatch):
    torch.manual_seed(0)
    language_model = load(str(tiny_llama), dtype=torch.bfloat16)
    language_model.network = METHODS["lora"](rank=4).apply(language_model)
    with counted(monkeypatch) as calls:
        _, gradients = learned(language_model, torch.bfloat16)
    _, wanted = learned(slow(language_model), torch.bfloat16)
    assert calls
    for name, gradient in gradients.items():
        assert gradient.dtype == torch.float32
        assert (gradient - wanted[name]).norm() <= 0.05 * wanted[name].norm() + 1e-6, name


def test_a_wrong_factor_is_caught(tiny_llama, monkeypatch):
    """Negative control."""
    quick, real = applied(tiny_llama, rank=4), lora_product.AddedProduct.apply
    monkeypatch.setattr(lora_product.AddedProduct, "apply", lambda *arguments: real(*arguments[:-1], 1.1 * arguments[-1]))
    loss, _ = learned(quick)
    assert loss != pytest.approx(learned(slow(quick))[0], rel=1e-6)


@pytest.mark.parametrize("case", ["dropout", "no gradient", "switched off", "merged"])
def test_what_is_not_plain_goes_pefts_way(case, tiny_llama, monkeypatch):
    language_model = applied(tiny_llama, rank=4, dropout=0.2 if case == "dropout" else 0.0)
    network, tokens = language_model.network.train(), torch.arange(10)[None]
    with counted(monkeypatch) as calls:
        if case == "no gradient":
            with torch.no_grad():
                network(input_ids=tokens)
        elif case == "switched off":
            with network.disable_adapter():
                network(input_ids=tokens)
        else:
            if case == "merged":
                network.merge_adapter()
            network(input_ids=tokens)
        assert not calls
        if case == "merged":
            network.unmerge_adapter()
            network(input_ids=tokens)
            assert calls


def test_other_methods_keep_their_layers(tiny_model):
    for name, family in (("dora", "llama"), ("qlora", "llama")):
        language_model = load(str(tiny_model(family)))
        network = METHODS[name]().apply(language_model)
        quick = [module for module in network.modules() if type(module) is lora_product.Quick]
        assert name == "dora" and all(lora_product.plain_adapter(module) is None for module in quick) or not quick
