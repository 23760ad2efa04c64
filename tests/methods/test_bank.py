"""Many adapters in one batch: every row computes what its adapter computes alone by stock PEFT, whatever kind the others are."""
import json
import random

import pytest
import torch
from saved_adapters import KINDS, saved_adapter

from luthier.errors import CheckpointError, RecipeError
from luthier.generation.batcher import Batcher, Seat
from luthier.generation.text import Writer
from luthier.methods.bank import Bank
from luthier.methods.stacks import STACKS
from luthier.methods.stacks.stack import Stack
from luthier.models.load import load

PROBE = torch.arange(20, 32)[None]


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "gemma2", "gpt_neox"])
def test_each_row_computes_what_its_adapter_computes_alone(tiny_model, tmp_path, family):
    base = tiny_model(family)
    language_model = load(str(base))
    bank = Bank(language_model)
    with torch.inference_mode():
        plain = language_model.network(input_ids=PROBE).logits[0]
    wanted = [plain]
    places = [0]
    for number, (kind, size) in enumerate([*((kind, 4 + at) for at, kind in enumerate(KINDS)), *((kind, 7 - at) for at, kind in enumerate(KINDS))]):
        wanted.append(saved_adapter(base, tmp_path / str(number), size, number, kind=kind))
        places.append(bank.add(tmp_path / str(number)))
    order = random.Random(2).sample(range(len(places)), len(places))
    with torch.inference_mode(), bank.choose([places[at] for at in order]):
        found = language_model.network(input_ids=PROBE.expand(len(order), -1)).logits
    for row, at in enumerate(order):
        assert (found[row] - wanted[at]).abs().max() < 1e-4
        assert at == 0 or (wanted[at] - plain).abs().max() > 0.05
    for at in (1, 2, 3, 4, 5):  # one adapter alone is added by another way
        with torch.inference_mode(), bank.choose([places[at]]):
            assert (language_model.network(input_ids=PROBE.expand(3, -1)).logits - wanted[at]).abs().max() < 1e-4
    with torch.inference_mode():
        assert torch.equal(language_model.network(input_ids=PROBE).logits[0], plain)


def test_only_some_layers_may_be_adapted(tiny_llama, tmp_path):
    wanted = saved_adapter(tiny_llama, tmp_path / "a", 2, 2, targets=["down_proj"])
    language_model = load(str(tiny_llama))
    bank = Bank(language_model)
    place = bank.add(tmp_path / "a")
    with torch.inference_mode(), bank.choose([0, place]):
        assert (language_model.network(input_ids=PROBE.expand(2, -1)).logits[1] - wanted).abs().max() < 1e-4


def test_kinds_mixed_in_one_batch_write_what_each_writes_alone(tiny_llama, tmp_path):
    """Rows come and go under every kind of adapter; every text is the one that the adapter writes with nobody beside it."""
    language_model, chance = load(str(tiny_llama)), random.Random(4)
    bank, places = Bank(language_model), [0]
    for number, kind in enumerate(KINDS):
        saved_adapter(tiny_llama, tmp_path / kind, 3 + number, number, kind=kind)
        places.append(bank.add(tmp_path / kind))
    prompts = [[chance.randrange(10, 250) for _ in range(chance.randint(1, 20))] for _ in range(24)]

    def seat(at: int) -> Seat:
        return Seat(prompts[at], 10, Writer(language_model.tokenizer, prompts[at], (), None), adapter=places[at % len(places)])

    alone = []
    for at in range(len(prompts)):
        batcher, one = Batcher(language_model, bank, max_rows=1), seat(at)
        batcher.join([one])
        while batcher.seats:
            batcher.step()
        alone.append(one.tokens)
    batcher, seats = Batcher(language_model, bank, max_rows=7), [seat(at) for at in range(len(prompts))]
    waiting = list(seats)
    while waiting or batcher.seats:
        if waiting and batcher.free:
            batcher.join([waiting.pop(0) for _ in range(min(batcher.free, len(waiting), 2))])
        batcher.step()
    assert [one.tokens for one in seats] == alone and len({tuple(tokens) for tokens in alone}) > 15


@pytest.mark.parametrize("kind", ["lora", "parallel", "houlsby", "ia3"])
def test_a_removed_place_is_used_again_without_a_trace(tiny_llama, tmp_path, kind):
    language_model = load(str(tiny_llama))
    bank = Bank(language_model)
    first = saved_adapter(tiny_llama, tmp_path / "a", 8, 1, kind=kind)
    second = saved_adapter(tiny_llama, tmp_path / "b", 2, 2, targets=["q_proj"])
    bank.remove(bank.add(tmp_path / "a"))
    with torch.inference_mode():
        plain = language_model.network(input_ids=PROBE).logits[0]
        with bank.choose([1]):
            assert torch.equal(language_model.network(input_ids=PROBE).logits[0], plain), "a place that was freed changes nothing"
    place = bank.add(tmp_path / "b")
    assert place == 1
    with torch.inference_mode(), bank.choose([place]):
        assert (language_model.network(input_ids=PROBE).logits[0] - second).abs().max() < 1e-4
    assert (first - second).abs().max() > 0.05


def test_an_adapter_of_another_base_is_refused(tiny_model, tmp_path):
    saved_adapter(tiny_model("llama"), tmp_path / "a", 4, 1)
    with pytest.raises(CheckpointError, match="was trained on"):
        Bank(load(str(tiny_model("llama_untied")))).add(tmp_path / "a")


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_is_missing_or_too_wide_is_refused(tiny_llama, tmp_path, kind):
    from safetensors.torch import load_file, save_file

    saved_adapter(tiny_llama, tmp_path / "a", 4, 1, kind=kind)
    path = tmp_path / "a" / "adapter_model.safetensors"
    whole = load_file(path)
    last = sorted(whole)[-1]
    for spoiled in ({name: tensor for name, tensor in whole.items() if name != last} if kind != "ia3" else None, {**whole, last: torch.cat([whole[last], whole[last]])}):
        if spoiled is not None:
            save_file(spoiled, path)
            bank = Bank(load(str(tiny_llama)))
            with pytest.raises(CheckpointError, match="does not fit this base"):
                bank.add(tmp_path / "a")
            assert not bank.kept


@pytest.mark.parametrize(("change", "word"), [({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"), ({"bias": "all"}, "bias"), ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING")])
def test_what_cannot_share_a_base_says_so(tiny_llama, tmp_path, change, word):
    saved_adapter(tiny_llama, tmp_path / "a", 4, 1)
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RecipeError, match=word) as refused:
        Bank(load(str(tiny_llama))).add(tmp_path / "a")
    assert refused.value.code == "R180"


def test_a_stack_grows_in_every_axis_and_forgets():
    stack = Stack()
    stack.put(5, {"a": torch.ones(2, 3)})
    stack.put(9, {"a": 2 * torch.ones(4, 3)})
    assert stack.tensors["a"].shape[1:] == (4, 3) and stack.numbers == {5: 1, 9: 2}
    stack.seat([9, 0, 5])
    worn = stack.worn()["a"]
    assert worn[0].eq(2).all() and worn[1].eq(0).all() and worn[2, :2].eq(1).all() and worn[2, 2:].eq(0).all()
    stack.drop(5)
    stack.put(7, {"a": torch.full((1, 3), 3.0)})
    assert stack.numbers == {9: 2, 7: 1} and stack.tensors["a"][1, 1:].eq(0).all()
    stack.seat([5, 0])
    assert stack.rows == () and set(STACKS) == {"LORA", "BOTTLENECK", "IA3"}
