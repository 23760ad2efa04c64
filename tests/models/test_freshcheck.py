"""The save-and-reload check in a fresh process without luthier: green for what was saved, red for a zeroed adapter and for changed weights."""
import ast

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests_shared import logits

from luthier.errors import WorkFailed
from luthier.methods import METHODS
from luthier.models import freshcheck
from luthier.models.freshcheck import SCRIPT, fresh_check, in_float32
from luthier.models.load import load

PROBES = [[7, 8, 9, 10, 11], list(range(20, 60))]


def saved(method, folder, target, **how):
    torch.manual_seed(0)
    language_model = load(str(folder), **how)
    language_model.network = method.apply(language_model)
    with torch.no_grad():
        for parameter in method.trainable(language_model.network).values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    target.mkdir()
    method.save(language_model.network, language_model, target)
    return language_model


def test_the_script_imports_only_stock_libraries():
    tree = ast.parse(SCRIPT.read_text())
    tops = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    tops |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert tops == {"importlib", "json", "os", "sys", "torch", "transformers", "safetensors", "peft"}


@pytest.mark.parametrize("name", ["adapter", "qlora", "prefix"])
def test_results_that_stock_libraries_must_be_told_about_are_green(name, tiny_llama, tmp_path):
    """A type of adapter that PEFT does not have comes with a file; a 4-bit base is quantised there as here; virtual positions are PEFT's own."""
    method = METHODS[name]()
    language_model = saved(method, tiny_llama, tmp_path / "adapter")
    found = fresh_check(language_model.network, language_model, method, tmp_path / "adapter", PROBES)
    assert found["ok"], found


def test_a_bf16_adapter_is_green_and_a_zeroed_one_is_red(tiny_llama, tmp_path):
    method = METHODS["lora"](rank=4)
    language_model = saved(method, tiny_llama, tmp_path / "adapter", dtype=torch.bfloat16, autocast=torch.bfloat16)
    before = logits(language_model.network)
    found = fresh_check(language_model.network, language_model, method, tmp_path / "adapter", PROBES)
    assert found["ok"] and found["max_difference"] <= 1e-4 and found["moved_by"] > 1e-3 and "same logits" in found["sentence"]
    assert torch.equal(logits(language_model.network), before), "the check leaves the network as it was"
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: torch.zeros_like(tensor) for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    found = fresh_check(language_model.network, language_model, method, tmp_path / "adapter", PROBES)
    assert not found["ok"] and not found["equal"] and not found["moved"] and "NOT" in found["sentence"]


def test_full_and_encoder_are_green(tiny_bert, tmp_path):
    method = METHODS["full"]()
    language_model = saved(method, tiny_bert, tmp_path / "model", head="sequence_class", labels=["a", "b", "c"])
    found = fresh_check(language_model.network, language_model, method, tmp_path / "model", PROBES)
    assert found["ok"], found


def test_a_result_that_is_its_base_is_told(tiny_llama, tmp_path, monkeypatch):
    method, language_model = METHODS["lora"](rank=4), load(str(tiny_llama))
    language_model.network = method.apply(language_model)
    same = {f"{kind}.{index}": row for index, row in enumerate(freshcheck.memory_logits(language_model.network, PROBES)) for kind in ("base", "tuned")}
    monkeypatch.setattr(freshcheck, "run_fresh", lambda *inputs: same)
    found = fresh_check(language_model.network, language_model, method, tmp_path, PROBES)
    assert found["equal"] and not found["moved"] and not found["ok"] and "does nothing" in found["sentence"]


def test_what_stock_libraries_cannot_load_fails_with_their_words(tiny_llama, tmp_path, monkeypatch):
    method, language_model = METHODS["full"](), load(str(tiny_llama))
    (tmp_path / "script.py").write_text("raise SystemExit('these weights are strange')")
    monkeypatch.setattr(freshcheck, "SCRIPT", tmp_path / "script.py")
    with pytest.raises(WorkFailed, match="these weights are strange"):
        fresh_check(language_model.network, language_model, method, tmp_path, PROBES[:1])


@pytest.mark.parametrize("pair", [([torch.ones(2)], [torch.ones(3)]), ([torch.tensor([float("nan")])], [torch.ones(1)]), ([], [])])
def test_shapes_nan_and_nothing_are_never_equal(pair):
    assert freshcheck.largest_gap(*pair) == float("inf")


def test_types_return_without_loss(tiny_llama):
    network = load(str(tiny_llama), dtype=torch.bfloat16).network
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    with in_float32(network):
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert all(torch.equal(parameter, before[name]) and parameter.dtype == torch.bfloat16 for name, parameter in network.named_parameters())
