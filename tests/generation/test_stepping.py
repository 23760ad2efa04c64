"""The short way of one token a row gives the network's own numbers, is taken where it may be, and by nobody else."""
import pytest
import torch
from saved_adapters import saved_adapter
from torch import nn
from transformers import DynamicCache

from luthier.generation import stepping
from luthier.generation.batcher import Batcher, Seat
from luthier.generation.slots import Slots
from luthier.generation.stepping import stepper_of
from luthier.generation.text import Writer
from luthier.methods.bank import Bank
from luthier.models.heads import body_of
from luthier.models.load import load

SHORT = ["llama", "llama_untied", "qwen2", "qwen3", "gemma"]
LONG = ["gpt2", "gemma2", "gpt_neox", "mistral", "phi", "phi3", "mixtral", "qwen3_moe", "olmo2", "gpt_oss", "ministral"]


@torch.inference_mode()
def both_ways(language_model, stepper, lengths: list[int], steps: int, plain: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of some steps of rows of these lengths, by the network alone and by the short way."""
    body = body_of(language_model.network)
    texts = [[(11 * row + 5 * at) % 250 for at in range(length + steps)] for row, length in enumerate(lengths)]
    slots, wanted, found = Slots(len(body.layers), len(lengths)), [], []
    for text, length in zip(texts, lengths, strict=True):
        cache = DynamicCache()
        body(input_ids=torch.tensor([text[:length]]), past_key_values=cache, use_cache=True)
        slots.join(cache, [length], [0])
        wanted.append(body(input_ids=torch.tensor([text]), use_cache=False).last_hidden_state[0, length:])
    for step in range(steps):
        slots.make_room()
        tokens = torch.tensor([[text[length + step]] for text, length in zip(texts, lengths, strict=True)])
        found.append(stepper(tokens, slots.attend("cpu"), slots.positions("cpu"), slots, plain=plain))
        slots.advance()
    return torch.stack(wanted), torch.stack(found, 1)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("lengths", [(3, 40, 7, 1), (5, 5)])
@pytest.mark.parametrize("family", SHORT)
def test_the_short_way_gives_the_networks_own_numbers(tiny_model, family, lengths, plain):
    language_model = load(str(tiny_model(family)))
    stepper = stepper_of(language_model)
    assert stepper is not None
    wanted, found = both_ways(language_model, stepper, list(lengths), 12, plain)
    assert (wanted - found).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("family", LONG)
def test_what_is_built_otherwise_goes_its_own_way(tiny_model, family):
    """Windows, other parts, other products: refused by shape or because the numbers are not the same."""
    assert stepper_of(load(str(tiny_model(family)))) is None


def slightly_more(attention: nn.Module) -> None:
    """What comes out of this attention is one part in a thousand larger."""
    plain = attention.forward
    attention.forward = lambda *given, **more: (1.001 * plain(*given, **more)[0], None)


@pytest.mark.parametrize("change", [
    lambda body: slightly_more(body.layers[1].self_attn), lambda body: setattr(body.layers[0].mlp, "forward", lambda inner: 0.5 * inner), lambda body: body.layers[1].add_module("more", nn.Identity()),
    lambda body: setattr(body.layers[0].self_attn, "q_proj", nn.Sequential(body.layers[0].self_attn.q_proj)), lambda body: setattr(body.config, "sliding_window", 64),
])  # fmt: skip
def test_a_network_that_computes_something_else_is_not_taken_for_one_of_these(tiny_model, change):
    language_model = load(str(tiny_model("llama")))
    change(body_of(language_model.network))
    assert stepper_of(language_model) is None


def test_weights_are_not_kept_twice_and_saved_as_before(tiny_model):
    language_model = load(str(tiny_model("llama")))
    before = {name: tensor.clone() for name, tensor in language_model.network.state_dict().items()}
    stepper = stepper_of(language_model)
    block = stepper.blocks[0]
    assert block.attention.k_proj.weight.untyped_storage().data_ptr() == block.read.weight.untyped_storage().data_ptr()
    assert all(torch.equal(tensor, before[name]) for name, tensor in language_model.network.state_dict().items())


def written(batcher: Batcher, seats: list[Seat]) -> list[list[int]]:
    batcher.join(seats)
    while batcher.seats:
        batcher.step()
    return [seat.tokens for seat in seats]


def seats_of(language_model, places: list[int]) -> list[Seat]:
    return [Seat([20 + at, 30, 40 + at], 12, Writer(language_model.tokenizer, [1], (), None), adapter=place) for at, place in enumerate(places)]


def test_the_batcher_takes_it_with_and_without_adapters_and_leaves_it_when_something_was_exchanged(tiny_model, tmp_path, monkeypatch):
    """What is written is the same both ways; a hook on a module that is passed by, or a weight put in another's place, ends the short way at once."""
    language_model = load(str(tiny_model("llama")))
    bank = Bank(language_model)
    saved_adapter(tiny_model("llama"), tmp_path / "a", 4, 1)
    places = [0, bank.add(tmp_path / "a"), 0]
    batcher = Batcher(language_model, bank, max_rows=4)
    taken: list[bool] = []
    real = stepping.Stepper.__call__
    monkeypatch.setattr(stepping.Stepper, "__call__", lambda self, *given, plain: (taken.append(plain), real(self, *given, plain=plain))[1])
    short = [written(batcher, seats_of(language_model, chosen)) for chosen in (places, [0, 0, 0])]
    assert set(taken) == {True, False} and len(taken) == 22
    mark = batcher.short.body.layers[1].register_forward_hook(lambda *_: None)
    assert [written(batcher, seats_of(language_model, chosen)) for chosen in (places, [0, 0, 0])] == short and len(taken) == 22
    mark.remove()
    attention = batcher.short.blocks[0].attention
    attention.q_proj.weight.data = attention.q_proj.weight.data.clone().zero_()
    changed = written(batcher, seats_of(language_model, [0, 0, 0]))
    assert len(taken) == 22 and changed != short[1], "the weight that stands there now is the one that counts"
