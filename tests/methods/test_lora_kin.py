"""LoRA's options, DoRA and (IA)3: what a setting says is what is injected; their outputs are the papers' formulas, PEFT's forward and the merged network's."""
import pytest
import torch
from methods_shared import nudge, trained
from tests_shared import logits

from luthier.errors import RecipeError
from luthier.methods import METHODS
from luthier.methods.dora import DoRA
from luthier.methods.ia3 import IA3
from luthier.methods.lora import LoRA
from luthier.models.load import load

LAYER = "base_model.model.model.layers.{}.{}"


def adapted(network) -> set[str]:
    """Names of the layers that hold an adapter, without the wrapping."""
    return {name.removeprefix("base_model.model.model.layers.").rsplit(".", 3)[0] for name, _ in network.named_parameters() if ".lora_A." in name}


def test_rank_stabilised_scales_by_the_root(tiny_llama):
    network = LoRA(rank=16, alpha=8, rank_stabilised=True, targets=["q_proj"]).apply(load(str(tiny_llama)))
    assert network.get_submodule(LAYER.format(0, "self_attn.q_proj")).scaling["default"] == 2.0


def test_layers_and_ranks_choose_blocks_and_widths(tiny_llama):
    network = LoRA(rank=4, alpha=8, layers=[-1], ranks={"q_proj": 2}, targets=["q_proj", "v_proj"]).apply(load(str(tiny_llama)))
    assert adapted(network) == {"1.self_attn.q_proj", "1.self_attn.v_proj"}
    narrow, wide = (network.get_submodule(LAYER.format(1, f"self_attn.{name}")) for name in ("q_proj", "v_proj"))
    assert (narrow.r["default"], wide.r["default"]) == (2, 4) and narrow.scaling["default"] == wide.scaling["default"] == 2.0


@pytest.mark.parametrize("family, name", [("gpt2", "c_attn"), ("falcon", "query_key_value"), ("gpt_neox", "dense"), ("opt", "fc1")])
def test_blocks_are_found_in_every_naming(family, name, tiny_model):
    network = LoRA(rank=2, layers=[0], targets=[name]).apply(load(str(tiny_model(family))))
    found = [key for key, _ in network.named_parameters() if ".lora_A." in key]
    assert len(found) == 1 and ".0." in found[0]


@pytest.mark.parametrize("settings, named", [({"layers": [2]}, "0 to 1"), ({"layers": [-3]}, "0 to 1"), ({"layers": []}, "empty"), ({"ranks": {"k_prj": 2}}, "k_prj"), ({"ranks": {"q_proj": 0}}, "rank")])
def test_options_that_fit_nothing_are_a_sentence(settings, named, tiny_llama):
    with pytest.raises(RecipeError, match=named):
        LoRA(**settings).apply(load(str(tiny_llama)))


def test_dora_is_the_papers_formula(tiny_llama):
    """W' = m * (W + s B A) / |W + s B A|, lengths over each output's weights."""
    method = DoRA(rank=4, targets=["q_proj"])
    language_model, network, _ = trained(method, tiny_llama)
    layer = network.get_submodule(LAYER.format(0, "self_attn.q_proj"))
    moved = layer.weight + 8.0 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = layer.lora_magnitude_vector["default"].weight[:, None] * moved / moved.norm(dim=1, keepdim=True)
    merged = method.merge(network, language_model)
    assert torch.allclose(merged.model.layers[0].self_attn.q_proj.weight, expected, atol=1e-5)
    x = torch.randn(3, 32)
    assert torch.allclose(layer(x), x @ expected.T, atol=1e-4)


def test_ia3_is_the_papers_formula(tiny_llama):
    """Keys and values are scaled behind their layer, the inner activation in front of the last one."""
    _, network, _ = trained(IA3(), tiny_llama)
    for place, inner in (("self_attn.k_proj", False), ("self_attn.v_proj", False), ("mlp.down_proj", True)):
        layer = network.get_submodule(LAYER.format(1, place))
        scale = layer.ia3_l["default"].flatten()
        x = torch.randn(3, layer.weight.shape[1])
        expected = (x * scale) @ layer.weight.T if inner else (x @ layer.weight.T) * scale
        assert torch.allclose(layer(x), expected, atol=1e-5), place
    assert len([name for name, parameter in network.named_parameters() if parameter.requires_grad]) == 6


@pytest.mark.parametrize("family", ["bert", "distilbert", "deberta", "modernbert", "roberta"])
def test_ia3_finds_the_three_places_of_an_encoder(family, tiny_model):
    network = IA3().apply(load(str(tiny_model(family)), head="sequence_class", labels=["a", "b"]))
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad and "ia3_l" in name]
    assert len(names) in (4, 6) and not [name for name in names if "attention.output" in name]


@pytest.mark.parametrize("name", ["lora", "dora", "ia3"])
def test_outputs_are_pefts_own(name, tiny_llama):
    """The network that PEFT itself builds from the saved configuration computes the same with the same weights."""
    from peft import get_peft_model
    from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    language_model, network, _ = trained(METHODS[name](), tiny_llama)
    theirs = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32), network.peft_config["default"])
    set_peft_model_state_dict(theirs, get_peft_model_state_dict(network))
    assert torch.equal(logits(theirs), logits(network))
    tokens = torch.randint(7, 263, (2, 9))
    loss = theirs(input_ids=tokens, labels=tokens).loss.item()
    total, count = language_model.head.loss(network, tokens, torch.ones(2, 9))
    assert total.item() / count == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "gpt_oss", "deepseek_v3"])
def test_every_expert_gets_matrices_of_its_own(family, tiny_model, tmp_path):
    """Fused experts: adapted, moved apart from each other, saved, and the same for stock PEFT."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    method = LoRA(rank=2)
    language_model, network, before = trained(method, tiny_model(family))
    experts = [name for name, _ in network.named_parameters() if "experts" in name and "lora_" in name and "shared" not in name]
    assert experts
    after = logits(network)
    assert (after - before).abs().max() > 1e-3
    method.save(network, language_model, tmp_path)
    stock = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model(family), dtype=torch.float32), tmp_path)
    assert torch.allclose(logits(stock), after, atol=1e-5)
    assert torch.allclose(logits(method.load(load(str(tiny_model(family))), tmp_path)), after, atol=1e-6)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in experts:
                parameter.zero_()
    assert (logits(network) - after).abs().max() > 1e-4, "the experts' part does something"


def test_experts_know_no_dropout_and_dora_no_experts(tiny_model):
    with pytest.raises(RecipeError, match="dropout"):
        LoRA(dropout=0.1).apply(load(str(tiny_model("gpt_oss"))))
    family = load(str(tiny_model("gpt_oss"))).family
    assert "experts" in DoRA().refusal("causal", family) and "experts" in IA3().refusal("causal", family) and LoRA().refusal("causal", family) is None


def test_an_architecture_without_a_file_is_searched_and_else_told(tiny_model):
    import dataclasses

    from luthier.models.families import generic

    language_model = load(str(tiny_model("llama")))
    language_model.family = generic.FAMILY
    assert len([name for name, parameter in IA3().apply(language_model).named_parameters() if parameter.requires_grad]) == 6
    language_model = load(str(tiny_model("llama")))
    language_model.family = dataclasses.replace(generic.FAMILY, feedforward_out=("nowhere",))
    with pytest.raises(RecipeError, match="llama.*mistral") as caught:
        IA3().apply(language_model)
    assert caught.value.code == "R170"


def test_nudge_moves_everything(tiny_llama):
    method = IA3()
    network = method.apply(load(str(tiny_llama)))
    before = {name: parameter.clone() for name, parameter in method.trainable(network).items()}
    nudge(method, network)
    assert all(not torch.equal(parameter, before[name]) for name, parameter in method.trainable(network).items())
