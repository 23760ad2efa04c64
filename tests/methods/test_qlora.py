"""QLoRA: the base is 4-bit, nothing repacks it, adapters learn beside it, and merging never touches a network that has run."""
import gc
import shutil
from pathlib import Path

import pytest
import torch
from methods_shared import trained
from tests_shared import logits

from luthier.errors import RecipeError
from luthier.methods import nf4
from luthier.methods.qlora import QLoRA
from luthier.models.load import load

bitsandbytes = pytest.importorskip("bitsandbytes", reason="needs the extra `quant`")


def four_bit_layers(network) -> list:
    return [module for module in network.modules() if isinstance(module, bitsandbytes.nn.Linear4bit) and not hasattr(module, "lora_A")]


def test_every_linear_layer_of_the_body_is_nf4_with_double_quantisation(tiny_llama):
    network = QLoRA(rank=4).apply(load(str(tiny_llama)))
    layers = four_bit_layers(network)
    assert len(layers) == 14 and all(layer.weight.quant_type == "nf4" and layer.weight.quant_state.nested and layer.weight.dtype == torch.uint8 for layer in layers)
    assert type(network.get_base_model().lm_head) is torch.nn.Linear


def test_layers_hold_the_nearest_of_sixteen_values(tiny_llama):
    """The forward pass of a layer is that of its dequantised weights, near the original ones."""
    language_model = load(str(tiny_llama))
    weight = language_model.network.model.layers[0].mlp.up_proj.weight.detach().clone()
    nf4.quantise(language_model)
    layer = language_model.network.model.layers[0].mlp.up_proj
    held = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    assert 0 < (held - weight).abs().mean() < 0.2 * weight.abs().mean()
    x = torch.randn(3, 32)
    assert torch.allclose(layer(x), x @ held.T, atol=1e-5)


def test_no_weight_that_stays_keeps_the_whole_file_in_memory(tiny_llama, tmp_path):
    """Weights read as they are stored are the file, mapped; one left behind would keep all of it."""
    folder = str(shutil.copytree(tiny_llama, tmp_path / "base"))  # a file of its own: other tests may hold the shared one
    language_model = load(folder)
    mapped = lambda: [line for line in Path("/proc/self/maps").read_text().splitlines() if folder in line]
    assert mapped() and any(map(nf4.is_mapped, language_model.network.parameters()))
    nf4.quantise(language_model)
    gc.collect()
    assert not mapped() and not any(map(nf4.is_mapped, language_model.network.parameters()))


def packed(network) -> list[torch.Tensor]:
    return [layer.weight.data.clone() for layer in four_bit_layers(network)]


def test_an_evaluation_leaves_the_weights_as_they_are(tiny_llama):
    """The trap of libraries: on some processors the first evaluation repacks the weights in place. Here it may not."""
    network = QLoRA(rank=4).apply(load(str(tiny_llama)))
    before, expected = packed(network), logits(network)
    assert all(torch.equal(one, two) for one, two in zip(before, packed(network), strict=True)) and torch.equal(logits(network), expected)
    assert not any(layer.support_avx512bf16_for_cpu for layer in four_bit_layers(network))


@torch.no_grad()
def test_with_the_guard_off_an_evaluation_repacks():
    layer = nf4.four_bit(bitsandbytes, torch.nn.Linear(128, 64)).eval()
    before, x = layer.weight.data.clone(), torch.randn(3, 128)
    layer(x)
    assert torch.equal(layer.weight.data, before)
    layer.support_avx512bf16_for_cpu = True
    try:
        layer(x)
    except RuntimeError:  # a processor without the unit has no kernel for what it finds
        pass
    assert layer.weight.data.shape != before.shape


def test_the_merged_network_computes_the_same_even_after_an_evaluation(tiny_llama):
    method = QLoRA(rank=4)
    language_model, network, _ = trained(method, tiny_llama)
    after = logits(network)
    merged = method.merge(network, language_model)
    assert type(merged.model.layers[0].mlp.up_proj) is torch.nn.Linear
    assert torch.allclose(logits(merged), after, atol=1e-4) and torch.equal(logits(network), after)
    base = load(str(tiny_llama)).network
    assert (merged.model.layers[0].mlp.up_proj.weight - base.model.layers[0].mlp.up_proj.weight).abs().max() > 1e-3


def test_it_trains_beside_four_bits(tiny_llama):
    language_model = load(str(tiny_llama))
    method = QLoRA(rank=8)
    network = language_model.network = method.apply(language_model)
    before, tokens = packed(network), torch.randint(7, 263, (4, 16), generator=torch.Generator().manual_seed(0))
    optimizer, losses = torch.optim.AdamW(method.trainable(network).values(), lr=1e-2), []
    for step in range(12):
        total, count = language_model.head.loss(network.train(), tokens, torch.ones(4, 16))
        losses.append(total.item() / count)
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 5:
            logits(network)
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(one, two) for one, two in zip(before, packed(network), strict=True))


def test_the_plan_counts_four_bits(tiny_llama):
    from luthier.models.memory import plan_memory

    plan = plan_memory(str(tiny_llama), QLoRA(), rows=2, length=16)
    real = QLoRA()
    network = real.apply(load(str(tiny_llama)))
    state = [module.weight.quant_state for module in four_bit_layers(network)]
    held = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    held += sum(part.absmax.numel() * part.absmax.element_size() + part.state2.absmax.numel() * part.state2.absmax.element_size() for part in state)
    assert plan.parts["weights"] == real.stored_bytes(network) == pytest.approx(held, rel=0.01)


def test_without_the_library_it_says_how_to_get_it(tiny_llama, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(RecipeError, match="bitsandbytes") as caught:
        QLoRA().apply(load(str(tiny_llama)))
    assert caught.value.code == "R173" and "quant" in caught.value.hint


def test_layers_without_a_four_bit_form_are_refused(tiny_model):
    for family, word in (("gpt2", "Conv1D"), ("gpt_oss", "experts")):
        assert word in QLoRA().refusal("causal", load(str(tiny_model(family))).family)
