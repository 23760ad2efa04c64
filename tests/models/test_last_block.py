"""The last block computes its feed-forward layer only where a loss reads it: the same loss and the same gradients, with fewer products."""
import pytest
import torch
from torch import nn

from luthier.methods import METHODS
from luthier.models import heads, quick_layers
from luthier.models.load import load

LAST = {"llama": "layers.1.mlp", "qwen3": "layers.1.mlp", "mistral": "layers.1.mlp", "gpt2": None, "phi": None, "gemma": None}
"""Family -> the layer that is narrowed; those without a gated layer of Llama's kind have none."""


def learned(language_model, network, weight_BT, **more) -> tuple[float, dict, list[int]]:
    """Loss, gradients, and how many rows the last layer's products had."""
    tokens_BT = torch.randint(7, 263, weight_BT.shape, generator=torch.Generator().manual_seed(1))
    rows = []
    name = language_model.head.last_gated
    layer = heads.body_of(network).get_submodule(name).down_proj if name else None
    hook = layer.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[:-1].numel())) if layer else None
    network.train().zero_grad()
    torch.manual_seed(2)
    total, _ = language_model.head.loss(network, tokens_BT, weight_BT, **more)
    total.backward()
    if hook:
        hook.remove()
    return total.item(), {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}, rows


def answers(rows: int = 3, length: int = 20, start: int = 12) -> torch.Tensor:
    return (torch.arange(length) >= start).float().expand(rows, length).clone()


def assert_alike(language_model, network, weight_BT, monkeypatch, expected: int, **more) -> None:
    total, gradients, rows = learned(language_model, network, weight_BT, **more)
    with monkeypatch.context() as patch:
        patch.setattr(heads.CausalHead, "narrowing", lambda *_: None)
        plain_total, plain, plain_rows = learned(language_model, network, weight_BT, **more)
    assert rows == [expected] and plain_rows == [weight_BT.numel()]
    assert total == pytest.approx(plain_total, rel=1e-6) and set(gradients) == set(plain)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("family", LAST)
def test_only_what_is_read_is_computed_and_the_same_is_learned(family, tiny_model, monkeypatch):
    language_model = load(str(tiny_model(family)))
    assert language_model.head.last_gated == LAST[family]
    if LAST[family] is None:
        assert learned(language_model, language_model.network, answers())[2] == []
        return
    assert_alike(language_model, language_model.network, answers(), monkeypatch, 3 * 8)


@pytest.mark.parametrize("method", ["lora", "dora", "qlora", "adapter", "ia3", "prefix", "layers"])
def test_methods_learn_the_same(method, tiny_llama, monkeypatch):
    language_model = load(str(tiny_llama))
    network = METHODS[method]().apply(language_model)
    assert_alike(language_model, network, answers(), monkeypatch, 3 * 8)


def test_tokens_that_a_method_writes_before_a_row_leave_the_layer_whole(tiny_llama, monkeypatch):
    """A prompt makes rows longer than what is known of them: nothing is left out rather than the wrong places."""
    language_model = load(str(tiny_llama))
    network = METHODS["prompt"]().apply(language_model)
    total, gradients, rows = learned(language_model, network, answers())
    monkeypatch.setattr(heads.CausalHead, "narrowing", lambda *_: None)
    plain_total, plain, plain_rows = learned(language_model, network, answers())
    assert rows == plain_rows and rows[0] > 60 and total == plain_total
    assert gradients and all(torch.equal(gradient, plain[name]) for name, gradient in gradients.items())


def test_rows_with_padding_and_holes(tiny_llama, monkeypatch):
    """Several turns are learned, rows end at different places, and one row teaches nothing."""
    language_model = load(str(tiny_llama))
    weight_BT, attend_BT = torch.zeros(3, 20), torch.ones(3, 20, dtype=torch.long)
    weight_BT[0, 4:7], weight_BT[0, 15:], weight_BT[1, 9] = 1.0, 0.5, 2.0
    attend_BT[1, 12:] = 0
    assert_alike(language_model, language_model.network, weight_BT, monkeypatch, 3 + 5 + 1, attend_BT=attend_BT)


def test_where_nearly_all_is_learned_nothing_is_gathered(tiny_llama):
    language_model = load(str(tiny_llama))
    assert learned(language_model, language_model.network, torch.ones(3, 20))[2] == [60]


def test_recomputed_activations_are_left_alone(tiny_llama):
    """They would be computed in full in the backward pass, and meet what was kept of the narrowed ones."""
    language_model = load(str(tiny_llama))
    total, gradients, _ = learned(language_model, language_model.network, answers())
    language_model.network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    again, recomputed, rows = learned(language_model, language_model.network, answers())
    assert rows == [60, 60] and again == pytest.approx(total, rel=1e-6)
    for name, gradient in recomputed.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-6)


def test_the_mark_is_taken_away_also_when_a_pass_fails(tiny_llama):
    layer = heads.body_of(load(str(tiny_llama)).network).get_submodule("layers.1.mlp")
    with pytest.raises(RuntimeError), quick_layers.read_only_at(layer, torch.ones(1, 2, dtype=torch.bool)):
        raise RuntimeError
    assert layer.wanted_BT is None


def test_a_layer_that_others_read_is_not_narrowed(tiny_llama, monkeypatch):
    """A last block whose output is mixed over places afterwards: found by trial."""
    language_model = load(str(tiny_llama))

    class Mixing(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.norm = norm

        def forward(self, x):
            return self.norm(x).cumsum(1)

    body = heads.body_of(language_model.network)
    body.norm = Mixing(body.norm)
    language_model.head.probe(language_model.network)
    assert language_model.head.last_gated is None
