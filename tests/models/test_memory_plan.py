"""The memory plan counts what autograd keeps: exact for weights and optimizer, right for activations, and nothing is loaded."""
import importlib

import pytest
import torch
from tests_shared import CONFIGURATIONS
from transformers import LlamaConfig

from luthier.errors import DoesNotFit
from luthier.methods import METHODS
from luthier.models import quick_layers
from luthier.models.configuration import read_configuration
from luthier.models.families import family_of
from luthier.models.heads import body_of
from luthier.models.load import load
from luthier.models.machine import cores, machine
from luthier.models.memory import MemoryPlan, plan_memory, require_room


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_family_and_method_has_a_plan(name, tiny_model):
    family = family_of(read_configuration(tiny_model(name))[0].model_type)
    for method in METHODS.values():
        if method().refusal("sequence_class" if family.kind == "encoder" else "causal", family):
            continue
        plan = plan_memory(str(tiny_model(name)), method(), rows=2, length=32)
        assert plan.trainable > 0 and plan.parameters >= plan.trainable and all(value >= 0 for value in plan.parts.values()) and plan.parts["activations"] > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_weights_gradients_and_optimizer_are_exact(name, precision, tiny_llama):
    method = METHODS[name]()
    plan = plan_memory(str(tiny_llama), METHODS[name](), rows=2, length=16, precision=precision)
    dtype = torch.bfloat16 if precision == "bf16" and method.base_is_frozen else torch.float32
    language_model = load(str(tiny_llama), dtype=dtype)
    network = method.apply(language_model)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned)
    language_model.head.loss(network, torch.randint(7, 263, (2, 16)), torch.ones(2, 16))[0].backward()
    optimizer.step()
    held = sum(value.numel() * 4 for state in optimizer.state.values() for key, value in state.items() if key != "step")
    assert plan.parts["weights"] == method.stored_bytes(network)
    assert name == "qlora" or plan.parts["weights"] == sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    assert plan.parts["gradients"] == sum(parameter.grad.numel() * 4 for parameter in learned) and plan.parts["optimizer"] == held


@pytest.mark.parametrize("name", METHODS)
def test_activations_are_those_of_a_real_pass(name, tiny_llama):
    """Count the same on a real network: the bytes that autograd really keeps."""
    plan = plan_memory(str(tiny_llama), METHODS[name](), rows=3, length=40)
    language_model = load(str(tiny_llama))
    network = METHODS[name]().apply(language_model).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept = {}

    def note(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        alive = body_of(network)(input_ids=torch.randint(7, 263, (3, 40)), use_cache=False)
    most = 1.6 if METHODS[name]().positions else 1.2  # a prefix is counted as if its positions were tokens
    assert alive is not None and 0.8 <= plan.parts["activations"] / sum(kept.values()) <= most


def test_the_plan_follows_its_causes(tiny_llama):
    name, full, lora = str(tiny_llama), METHODS["full"], METHODS["lora"]
    small, wide, long = (plan_memory(name, full(), rows=rows, length=length) for rows, length in ((2, 32), (4, 32), (2, 64)))
    assert wide.parts["activations"] == pytest.approx(2 * small.parts["activations"], rel=0.1) and long.parts["activations"] > 1.5 * small.parts["activations"]
    assert plan_memory(name, lora(), rows=2, length=32).parts["optimizer"] < small.parts["optimizer"]
    assert plan_memory(name, lora(), rows=2, length=32, precision="bf16").parts["weights"] < plan_memory(name, lora(), rows=2, length=32).parts["weights"]
    recomputed = plan_memory(name, full(), rows=4, length=64, gradient_checkpointing=True).parts["activations"]
    assert recomputed < 0.5 * plan_memory(name, full(), rows=4, length=64).parts["activations"]


def test_nothing_is_loaded(tiny_llama, tmp_path):
    (tmp_path / "config.json").write_text((tiny_llama / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    assert plan_memory(str(tmp_path), METHODS["full"](), rows=1, length=8).parameters > 0


def test_judgement_and_refusal():
    plan = MemoryPlan({"weights": 60, "activations": 40})
    assert (plan.total, plan.judge(200), plan.judge(105), plan.judge(99)) == (100, "fits", "tight", "no")
    require_room(plan, 100)
    with pytest.raises(DoesNotFit) as caught:
        require_room(plan, 99)
    assert caught.value.exit_code == 3 and caught.value.hint


def test_the_machine_is_looked_at():
    here = machine()
    assert 0 < here.memory_free <= here.memory_total and here.cores == cores() >= 1 and here.device in ("cpu", "cuda", "mps")
    assert here.accelerator == (here.device != "cpu") and isinstance(vars(here)["bf16"], bool)


def test_a_frozen_output_layer_is_counted_as_it_is_computed(tmp_path):
    """In blocks of the vocabulary where it is frozen in float32, in whole chunks of logits where it learns or products are in bf16."""
    LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=1, vocab_size=50_000, tie_word_embeddings=True, architectures=["LlamaForCausalLM"]).save_pretrained(tmp_path)
    loss = lambda method, precision="fp32": plan_memory(str(tmp_path), METHODS[method](), rows=4, length=256, precision=precision).parts["loss"]
    states = 2 * 4 * 4 * 256 * 64
    assert loss("lora") == 4 * 512 * (1024 + 64) + states
    assert loss("full") == loss("lora", "bf16") == 2 * (24 << 20) + states


def test_a_plan_is_the_same_whatever_the_process_did_before(tiny_model):
    """What layers were tried on is kept for the whole process; a plan is often the first that asks, where only shapes exist."""
    def planned():
        return plan_memory(str(tiny_model("llama")), METHODS["lora"](), rows=2, length=32)

    kept = (quick_layers.turns_alike, quick_layers.rotating, quick_layers.quick, quick_layers.quick_attention)
    before = planned()
    for one in kept:
        one.cache_clear()
    assert planned() == before
    modelling = "transformers.models.llama.modeling_llama"
    assert quick_layers.rotating(importlib.import_module(modelling).LlamaAttention) is not None, "what a plan found out without numbers is no verdict on the family"
