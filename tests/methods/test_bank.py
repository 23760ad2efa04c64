"""Many adapters in one batch: every row computes what its adapter computes alone by stock PEFT."""
import pytest
import torch
from saved_adapters import saved_adapter

from luthier.errors import CheckpointError, RecipeError
from luthier.methods.bank import Bank
from luthier.models.load import load


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "gemma2"])
def test_each_row_computes_what_its_adapter_computes_alone(tiny_model, tmp_path, family):
    base = tiny_model(family)
    language_model = load(str(base))
    bank = Bank(language_model)
    probe = torch.arange(20, 32)[None]
    with torch.inference_mode():
        plain = language_model.network(input_ids=probe).logits[0]
    targets = [None, None, ["down_proj" if family != "gpt2" else "c_proj"]]
    alone = [saved_adapter(base, tmp_path / str(number), rank, number, targets=targets[number]) for number, rank in enumerate((4, 7, 2))]
    places = [bank.add(tmp_path / str(number)) for number in range(3)]
    rows = [places[1], 0, places[0], places[2], places[1]]
    wanted = [alone[1], plain, alone[0], alone[2], alone[1]]
    with torch.inference_mode(), bank.choose(rows):
        found = language_model.network(input_ids=probe.expand(5, -1)).logits
    for at, logits in enumerate(wanted):
        assert (found[at] - logits).abs().max() < 1e-4
        assert at == 1 or (logits - plain).abs().max() > 0.05
    with torch.inference_mode():
        assert torch.equal(language_model.network(input_ids=probe).logits[0], plain)


def test_a_removed_place_is_used_again_without_a_trace(tiny_llama, tmp_path):
    language_model = load(str(tiny_llama))
    bank = Bank(language_model)
    probe = torch.arange(20, 32)[None]
    first = saved_adapter(tiny_llama, tmp_path / "a", 8, 1)
    second = saved_adapter(tiny_llama, tmp_path / "b", 2, 2, targets=["q_proj"])
    bank.remove(bank.add(tmp_path / "a"))
    place = bank.add(tmp_path / "b")
    assert place == 1
    with torch.inference_mode(), bank.choose([place]):
        assert (language_model.network(input_ids=probe).logits[0] - second).abs().max() < 1e-4
    assert (first - second).abs().max() > 0.05


def test_an_adapter_of_another_base_is_refused(tiny_model, tmp_path):
    saved_adapter(tiny_model("llama"), tmp_path / "a", 4, 1)
    with pytest.raises(CheckpointError, match="was trained on"):
        Bank(load(str(tiny_model("llama_untied")))).add(tmp_path / "a")


def test_what_cannot_share_a_base_says_so(tiny_llama, tmp_path):
    import json

    saved_adapter(tiny_llama, tmp_path / "a", 4, 1)
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "alpha_pattern": {"q_proj": 2}}))
    with pytest.raises(RecipeError, match="alpha_pattern"):
        Bank(load(str(tiny_llama))).add(tmp_path / "a")
