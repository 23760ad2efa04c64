"""`layers`: just the chosen weights move. `adapter`: the papers' formula at the papers' places, and stock PEFT with our type of adapter loads it."""
import pytest
import torch
from methods_shared import trained
from tests_shared import ENCODERS, logits

from luthier.errors import RecipeError
from luthier.methods.adapter import Adapter
from luthier.methods.layers import Layers
from luthier.models.load import load

LABELED = {"head": "sequence_class", "labels": ["a", "b", "c"]}


def learned(network) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


# ---- layers -------------------------------------------------------------------------------------
@pytest.mark.parametrize("family, first, behind", [
    ("llama_untied", "model.layers.1.", {"model.norm.weight", "lm_head.weight"}), ("gpt2", "transformer.h.1.", {"transformer.ln_f.weight", "transformer.ln_f.bias"}),
    ("opt", "model.decoder.layers.1.", {"model.decoder.final_layer_norm.weight", "model.decoder.final_layer_norm.bias"}),
    ("bert", "bert.encoder.layer.1.", {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}),
])
def test_the_last_blocks_and_what_follows_are_learned(family, first, behind, tiny_model):
    names = learned(Layers(top=1).apply(load(str(tiny_model(family)), **(LABELED if family in ENCODERS else {}))))
    assert {name for name in names if not name.startswith(first)} == behind and any(name.startswith(first) for name in names)


def test_named_modules_are_learned(tiny_llama):
    names = learned(Layers(modules=["q_proj", "layers.0.mlp"]).apply(load(str(tiny_llama))))
    assert names == {f"model.layers.{number}.self_attn.q_proj.weight" for number in (0, 1)} | {f"model.layers.0.mlp.{name}_proj.weight" for name in ("gate", "up", "down")}


def test_a_tied_output_layer_is_learned_by_its_name_only(tiny_llama):
    assert "model.embed_tokens.weight" not in learned(Layers(top=1).apply(load(str(tiny_llama))))
    assert learned(Layers(modules=["embed_tokens"]).apply(load(str(tiny_llama)))) == {"model.embed_tokens.weight"}


@pytest.mark.parametrize("settings, named", [({"top": 0}, "2 blocks"), ({"top": 3}, "2 blocks"), ({"modules": []}, "empty"), ({"modules": ["q_prj"]}, "q_prj")])
def test_layers_that_do_not_exist_are_a_sentence(settings, named, tiny_llama):
    with pytest.raises(RecipeError, match=named) as caught:
        Layers(**settings).apply(load(str(tiny_llama)))
    assert settings != {"modules": ["q_prj"]} or "q_proj" in caught.value.hint


# ---- adapter ------------------------------------------------------------------------------------
def places(network) -> set[str]:
    return {name.split(".layers.")[-1].rsplit(".bottleneck_down", 1)[0] for name, _ in network.named_parameters() if name.endswith("bottleneck_down.default.weight")}


def test_styles_are_the_papers_places(tiny_llama):
    assert places(Adapter(style="pfeiffer").apply(load(str(tiny_llama)))) == places(Adapter(style="parallel").apply(load(str(tiny_llama)))) == {"0.mlp.down_proj", "1.mlp.down_proj"}
    assert places(Adapter(style="houlsby").apply(load(str(tiny_llama)))) == {f"{number}.{place}" for number in (0, 1) for place in ("self_attn.o_proj", "mlp.down_proj")}


def bend(layer, x, scale):
    down, up = layer.bottleneck_down["default"], layer.bottleneck_up["default"]
    return scale * (torch.relu(x @ down.weight.T + down.bias) @ up.weight.T + up.bias)


def test_a_sequential_adapter_is_the_papers_formula(tiny_llama):
    """y' = y + U relu(D y), on the output of the feed-forward, before the skip connection."""
    _, network, _ = trained(Adapter(width=3), tiny_llama)
    block = network.get_submodule("base_model.model.model.layers.1")
    x = torch.randn(2, 5, 32)
    mlp = block.mlp
    y = mlp.down_proj.base_layer(mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x))
    assert torch.allclose(mlp(x), y + bend(mlp.down_proj, y, 1.0), atol=1e-5)


@pytest.mark.parametrize("family, path", [("llama", "model.layers.1.mlp"), ("gpt2", "transformer.h.1.mlp")])
def test_a_parallel_adapter_reads_what_the_feed_forward_reads(family, path, tiny_model):
    """FF'(x) = FF(x) + 4 U relu(D x)."""
    method = Adapter(width=3, style="parallel")
    _, network, _ = trained(method, tiny_model(family))
    sublayer = network.get_submodule("base_model.model." + path)
    last = sublayer.down_proj if family == "llama" else sublayer.c_proj
    x = torch.randn(2, 5, 32)
    with method.disabled(network):
        plain = sublayer(x)
    assert torch.allclose(sublayer(x), plain + bend(last, x, 4.0), atol=1e-4)


@pytest.mark.parametrize("style", ["houlsby", "pfeiffer", "parallel"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert", "deberta", "falcon", "opt", "phi3"])
def test_every_style_starts_as_its_base_and_comes_back(family, style, tiny_model, tmp_path):
    more = LABELED if family in ENCODERS else {}
    method = Adapter(width=4, style=style, activation="gelu")
    untouched = load(str(tiny_model(family)), **more)
    before = logits(untouched.network)
    assert torch.allclose(logits(method.apply(untouched)), before, atol=1e-6)
    language_model, network, _ = trained(method, tiny_model(family), **more)
    after = logits(network)
    assert (after - before).abs().max() > 1e-4
    method.save(network, language_model, tmp_path)
    again = load(str(tiny_model(family)), **more, seed=3)
    assert torch.allclose(logits(Adapter().load(again, tmp_path)), after, atol=1e-6), "style and width are read from the folder"


def test_recomputed_activations_give_the_same_gradients(tiny_llama):
    """The parallel adapter remembers its input between two layers; a second forward pass inside the backward one must not mix it up."""
    tokens, found = torch.randint(7, 263, (2, 12)), []
    for recompute in (False, True):
        method = Adapter(style="parallel")
        language_model, network, _ = trained(method, tiny_llama)
        if recompute:
            network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            network.enable_input_require_grads()
        language_model.head.loss(network.train(), tokens, torch.ones(2, 12))[0].backward()
        found.append([parameter.grad.clone() for parameter in method.trainable(network).values()])
    assert all(torch.allclose(one, two, atol=1e-4 * one.abs().max().item() + 1e-8) for one, two in zip(*found, strict=True))


def test_a_bend_cannot_be_merged(tiny_llama):
    method = Adapter()
    language_model, network, _ = trained(method, tiny_llama)
    with pytest.raises(RecipeError, match="bend"):
        method.merge(network, language_model)
    with pytest.raises(ValueError, match="bend"):
        network.merge_and_unload()


@pytest.mark.parametrize("settings", [{"width": 0}, {"dropout": 1.0}, {"scale": 0.0}])
def test_adapter_settings_out_of_range_are_a_sentence(settings, tiny_llama):
    with pytest.raises(RecipeError, match="width"):
        Adapter(**settings).apply(load(str(tiny_llama)))
