"""Every method: trains something, saves what stock libraries load with equal logits, loads strictly, merges equal; LoRA's own rules on top."""
import json

import pytest
import torch
from methods_shared import trained
from safetensors.torch import load_file, save_file
from tests_shared import changed, edit_json, logits

from luthier.errors import CheckpointError, NonFinite, RecipeError, Refused
from luthier.methods import METHODS
from luthier.methods.lora import LoRA
from luthier.models.load import load

FAMILIES = ["llama", "llama_untied", "gpt2", "qwen3", "gemma2", "gpt_neox"]


@pytest.mark.parametrize("name", METHODS)
def test_a_step_changes_what_is_trainable_and_nothing_else(name, tiny_llama):
    method, language_model = METHODS[name](), load(str(tiny_llama))
    network = language_model.network = method.apply(language_model)
    parameters = method.trainable(network)
    before = {key: parameter.detach().clone() for key, parameter in network.named_parameters()}
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.1)
    tokens = torch.randint(7, 263, (2, 16))
    for _ in range(2):  # LoRA's first step moves B only, because B = 0 keeps A from a gradient
        language_model.head.loss(network, tokens, torch.ones(2, 16))[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {key for key, parameter in network.named_parameters() if not torch.equal(parameter, before[key])}
    assert moved == set(parameters) and moved
    assert language_model.num_trainable == sum(parameter.numel() for parameter in parameters.values())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METHODS)
def test_saved_results_load_here_and_in_stock(name, family, tiny_model, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    method = METHODS[name]()
    if method.refusal("causal", load(str(tiny_model(family))).family):
        return
    language_model, network, before = trained(method, tiny_model(family))
    after = logits(network)
    assert (after - before).abs().max() > 1e-3
    method.save(network, language_model, tmp_path)
    again = load(str(tiny_model(family)))
    assert torch.allclose(logits(method.load(again, tmp_path)), after, atol=1e-6)
    if name == "qlora":
        return  # stock libraries need a fresh process for the same 4 bits: tests/models/test_freshcheck.py
    if not method.base_is_frozen:
        stock = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    else:
        stock = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model(family), dtype=torch.float32), tmp_path)
    assert torch.allclose(logits(stock)[:, -12:], after, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [name for name, member in METHODS.items() if member.merges and member.base_is_frozen])
def test_a_merged_adapter_is_a_plain_network_that_computes_the_same(name, family, tiny_model):
    method = METHODS[name]()
    if method.refusal("causal", load(str(tiny_model(family))).family):
        return
    language_model, network, _ = trained(method, tiny_model(family))
    after = logits(network)
    merged = method.merge(network, language_model)
    assert type(merged) is type(load(str(tiny_model(family))).network)
    assert torch.allclose(logits(merged), after, atol=1e-5 * max(1.0, after.abs().max().item()))
    assert torch.equal(logits(network), after), "the live network is left alone"


@pytest.mark.parametrize("name", [name for name, member in METHODS.items() if member.base_is_frozen])
def test_switched_off_a_method_is_its_base(name, tiny_llama):
    method = METHODS[name]()
    _, network, before = trained(method, tiny_llama)
    with method.disabled(network):
        assert torch.equal(logits(network), before if name != "qlora" else logits(METHODS["qlora"](rank=1).apply(load(str(tiny_llama)))))
    assert not torch.equal(logits(network), before)
    with pytest.raises(RecipeError), METHODS["full"]().disabled(network):
        pass


@pytest.mark.parametrize("name", ["lora", "dora", "ia3", "adapter"])
def test_adapters_start_as_their_base(name, tiny_llama):
    language_model = load(str(tiny_llama))
    before = logits(language_model.network)
    assert torch.allclose(logits(METHODS[name]().apply(language_model)), before, atol=1e-6)


def test_lora_adapts_every_linear_layer_but_the_output_head(tiny_model):
    for family, count in (("llama", 14), ("llama_untied", 14), ("gpt2", 8), ("gpt_neox", 8)):
        network = LoRA(rank=2).apply(load(str(tiny_model(family))))
        names = [name for name, _ in network.named_parameters() if "lora_A" in name]
        assert len(names) == count and not [name for name in names if "lm_head" in name or "embed" in name], family


def test_settings_reach_the_adapter(tiny_llama):
    network = LoRA(rank=3, alpha=12, dropout=0.5, targets=["q_proj"]).apply(load(str(tiny_llama)))
    layer = network.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    assert layer.lora_A["default"].weight.shape[0] == 3 and layer.scaling["default"] == 4.0 and layer.lora_dropout["default"].p == 0.5
    assert {name.split(".")[-4] for name, _ in network.named_parameters() if "lora_A" in name} == {"q_proj"}


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}, {"dropout": -0.1}, {"targets": []}])
def test_settings_out_of_range_are_a_sentence(settings, tiny_llama):
    with pytest.raises(RecipeError):
        LoRA(**settings).apply(load(str(tiny_llama)))


def test_unknown_targets_name_the_nearest(tiny_llama):
    with pytest.raises(RecipeError) as caught:
        LoRA(targets=["q_prj"]).apply(load(str(tiny_llama)))
    assert "q_proj" in caught.value.hint and "down_proj" in caught.value.message and caught.value.field == "method.targets"


def test_a_bf16_base_keeps_its_bits_and_adapters_learn_in_float32(tiny_llama):
    language_model = load(str(tiny_llama), dtype=torch.bfloat16, autocast=torch.bfloat16)
    network = LoRA(rank=4).apply(language_model)
    kinds = {parameter.requires_grad: parameter.dtype for parameter in network.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    language_model.head.loss(network, torch.randint(7, 263, (2, 8)), torch.ones(2, 8))[0].backward()
    assert all((parameter.grad is None) != parameter.requires_grad for parameter in network.parameters())


def test_lora_on_random_weights_is_refused(tiny_llama):
    with pytest.raises(RecipeError, match="random"):
        LoRA().apply(load(str(tiny_llama), scratch_seed=1))


# ---- the folder ---------------------------------------------------------------------------------
def test_the_adapter_folder_is_pefts(tiny_llama, tmp_path):
    method = LoRA(rank=4)
    language_model, network, _ = trained(method, tiny_llama)
    method.save(network, language_model, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["peft_type"], config["task_type"], config["r"], config["lora_alpha"], config["inference_mode"]) == ("LORA", "CAUSAL_LM", 4, 32.0, True)
    assert config["base_model_name_or_path"] == str(tiny_llama) and config["revision"] is None and config["target_modules"] == sorted(config["target_modules"])
    keys = list(load_file(tmp_path / "adapter_model.safetensors"))
    assert all(key.startswith("base_model.model.model.layers.") and ".default." not in key for key in keys) and len(keys) == 28


def test_equal_runs_leave_equal_bytes(tiny_llama, tmp_path):
    method = LoRA(rank=4)
    for name in ("a", "b"):
        torch.manual_seed(0)
        language_model, network, _ = trained(method, tiny_llama)
        (tmp_path / name).mkdir()
        method.save(network, language_model, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def saved_adapter(folder, tmp_path):
    method = LoRA(rank=4)
    language_model, network, _ = trained(method, folder)
    target = tmp_path / "adapter"
    target.mkdir()
    method.save(network, language_model, target)
    return method, target


def test_an_adapter_for_another_base_names_both(tiny_llama, tmp_path):
    method, folder = saved_adapter(tiny_llama, tmp_path)
    other = load(str(changed(tiny_llama, tmp_path, tensors=lambda held: held | {"model.norm.weight": held["model.norm.weight"] + 1})))
    with pytest.raises(CheckpointError) as caught:
        method.load(other, folder)
    assert caught.value.exit_code == 7
    assert load(str(tiny_llama)).fingerprint[:12] in caught.value.message and other.fingerprint[:12] in caught.value.message


def test_a_foreign_adapter_of_other_shapes_is_refused(tiny_llama, tiny_model, tmp_path):
    method, folder = saved_adapter(tiny_llama, tmp_path)
    (folder / "luthier.json").unlink()
    method.load(load(str(tiny_llama)), folder)
    with pytest.raises((CheckpointError, Refused)):
        method.load(load(str(tiny_model("qwen3"))), folder)


@pytest.mark.parametrize("how", ["missing", "surplus", "shape", "nan"])
def test_loading_is_strict(how, tiny_llama, tmp_path):
    method, folder = saved_adapter(tiny_llama, tmp_path)
    held = load_file(folder / "adapter_model.safetensors")
    first = sorted(held)[0]
    if how == "missing":
        del held[first]
    elif how == "surplus":
        held["base_model.model.x"] = torch.ones(2)
    elif how == "shape":
        held[first] = held[first][:2].contiguous()
    else:
        held[first][0, 0] = float("nan")
    save_file(held, folder / "adapter_model.safetensors")
    with pytest.raises(NonFinite if how == "nan" else CheckpointError):
        method.load(load(str(tiny_llama)), folder)


@pytest.mark.parametrize("field", [{"eva_config": {"x": 1}}, {"megatron_config": {"a": 1}}, {"layer_replication": [[0, 4]]}, {"unknown": "x"}, {"auto_map": {"x": "evil"}}])
def test_adapter_fields_that_are_not_understood_are_refused(field, tiny_llama, tmp_path):
    method, folder = saved_adapter(tiny_llama, tmp_path)
    edit_json(folder / "adapter_config.json", field)
    with pytest.raises(Refused, match=next(iter(field))):
        method.load(load(str(tiny_llama)), folder)


def test_weights_that_are_not_finite_are_never_saved(tiny_llama, tmp_path):
    for method in (LoRA(rank=2), METHODS["full"]()):
        language_model, network, _ = trained(method, tiny_llama)
        next(iter(method.trainable(network).values())).data.view(-1)[0] = float("inf")
        with pytest.raises(NonFinite):
            method.save(network, language_model, tmp_path)
        assert not list(tmp_path.iterdir())


# ---- heads and grown embeddings -------------------------------------------------------------------
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_a_new_classification_head_travels_with_the_adapter(family, tiny_model, tmp_path):
    """Stock PEFT, whose own new head is random, must answer as we do: head and pooler are in the adapter."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    method, labels = LoRA(rank=4), ["a", "b", "c"]
    language_model, network, _ = trained(method, tiny_model(family), head="sequence_class", labels=labels)
    after = logits(network)
    method.save(network, language_model, tmp_path)
    again = load(str(tiny_model(family)), head="sequence_class", labels=labels, seed=99)
    assert torch.allclose(logits(method.load(again, tmp_path)), after, atol=1e-6)
    torch.manual_seed(1234)
    stock = AutoModelForSequenceClassification.from_pretrained(tiny_model(family), num_labels=3, dtype=torch.float32)
    assert torch.allclose(logits(PeftModel.from_pretrained(stock, tmp_path)), after, atol=1e-6)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["task_type"] == "SEQ_CLS"


def test_tuned_encoders_keep_their_class_names(tiny_bert, tmp_path):
    method = METHODS["full"]()
    language_model, network, _ = trained(method, tiny_bert, head="sequence_class", labels=["x", "y"])
    method.save(network, language_model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["id2label"] == {"0": "x", "1": "y"}


@pytest.mark.parametrize("family", ["llama", "llama_untied"])
def test_grown_embeddings_travel_with_the_adapter(family, tiny_model, tmp_path):
    tiny_llama = tiny_model(family)
    folder = changed(tiny_llama, tmp_path)
    tokenizer = load(str(tiny_llama)).tokenizer
    tokenizer.add_tokens(["<extra0>", "<extra1>"])
    tokenizer.save_pretrained(folder)
    method, saved = saved_adapter(folder, tmp_path)
    assert [key for key in load_file(saved / "adapter_model.safetensors") if "embed_tokens" in key]
    language_model, network, _ = trained(method, folder)
    again = method.load(load(str(folder), seed=5), saved)
    tokens = torch.tensor([[10, 263, 264, 20]])
    with torch.no_grad():
        assert torch.allclose(again.eval()(input_ids=tokens).logits, network.eval()(input_ids=tokens).logits, atol=1e-6)
    weight = torch.ones(1, 4)
    total, _ = language_model.head.loss(network, tokens, weight)
    plain = torch.nn.functional.cross_entropy(network(input_ids=tokens).logits[0, :-1], tokens[0, 1:], reduction="sum")
    assert total.item() == pytest.approx(plain.item(), rel=1e-6)
    merged = method.merge(network, language_model)
    with torch.no_grad():
        assert torch.allclose(merged.eval()(input_ids=tokens).logits, network(input_ids=tokens).logits, atol=1e-4)


def test_full_weights_of_another_shape_are_refused(tiny_llama, tiny_model):
    with pytest.raises(CheckpointError):
        METHODS["full"]().load(load(str(tiny_llama)), tiny_model("qwen3"))


@pytest.mark.parametrize("name", METHODS)
def test_rates_and_homes_are_told(name):
    method = METHODS[name]()
    small, reason = method.default_learning_rate(7_000_000)
    large, _ = method.default_learning_rate(7_000_000_000)
    assert 0 < large <= small < 0.5 and reason and "luthier" in method.loads_in()
