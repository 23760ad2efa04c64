"""The short ways through norms and gated layers: what they compute is what the families' own layers compute, and the rest is left alone."""
import pytest
import torch
from torch import nn

from luthier.models import quick_layers
from luthier.models.load import load

KINDS = {"llama": (5, 2), "qwen3": (5 + 4, 2), "mistral": (5, 2), "gpt2": (0, 0), "phi": (0, 0), "gemma": (0, 0)}
"""Family -> how many norms and gated layers take the short way; Gemma's norm adds 1 to its weight and its gate is a GELU."""


TURNED = {"llama": 2, "qwen3": 2, "mistral": 2, "gpt2": 0, "phi": 2, "gemma": 2}
"""Family -> how many attentions take our rotation; GPT-2 turns nothing."""


def turning(network) -> int:
    return sum(isinstance(module, quick_layers.QuickRotation) for module in network.modules())


def quickened(network) -> tuple[int, int]:
    modules = list(network.modules())
    return sum(isinstance(module, quick_layers.QuickNorm) for module in modules), sum(isinstance(module, quick_layers.QuickGated) for module in modules)


def plainly(network) -> None:
    for module in network.modules():
        if isinstance(module, quick_layers.QuickNorm | quick_layers.QuickGated | quick_layers.QuickRotation):
            module.__class__ = type(module).__mro__[2]


def learned(language_model, autocast=None) -> tuple[float, dict]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(7, 263, (3, 20), generator=generator)
    network, language_model.head.autocast = language_model.network.train(), autocast
    network.zero_grad()
    total, _ = language_model.head.loss(network, tokens, torch.ones(3, 20))
    total.backward()
    return total.item(), {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("family", KINDS)
def test_the_layers_that_can_are_quick_and_learn_the_same(family, tiny_model):
    language_model = load(str(tiny_model(family)))
    assert quickened(language_model.network) == KINDS[family] and turning(language_model.network) == TURNED[family]
    loss, gradients = learned(language_model)
    plainly(language_model.network)
    assert quickened(language_model.network) == (0, 0) and not turning(language_model.network)
    other, wanted = learned(language_model)
    assert loss == pytest.approx(other, rel=1e-6) and set(gradients) == set(wanted)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5)


def test_under_autocast_and_in_bf16(tiny_llama):
    for dtype in (torch.float32, torch.bfloat16):
        language_model = load(str(tiny_llama), dtype=dtype)
        assert quickened(language_model.network) == (5, 2)
        _, gradients = learned(language_model, torch.bfloat16)
        plainly(language_model.network)
        _, wanted = learned(language_model, torch.bfloat16)
        for name, gradient in gradients.items():
            assert gradient.dtype == wanted[name].dtype and (gradient - wanted[name]).norm() <= 0.06 * wanted[name].norm() + 1e-6, name


def test_without_gradients_the_family_computes(tiny_llama, monkeypatch):
    language_model, called = load(str(tiny_llama)), []
    for function in (quick_layers.Norm, quick_layers.Gated, quick_layers.Rotation):
        monkeypatch.setattr(function, "apply", lambda *arguments: called.append(1))
    with torch.no_grad():
        language_model.network(input_ids=torch.arange(9)[None])
    assert not called


def test_less_is_kept_for_the_backward_pass(tiny_llama):
    def kept(language_model) -> int:
        held = {}

        def note(tensor):
            held[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            learned(language_model)
        return sum(tensor.untyped_storage().nbytes() for tensor in held.values())

    language_model = load(str(tiny_llama))
    quick = kept(language_model)
    plainly(language_model.network)
    assert quick < 0.85 * kept(language_model)


class OddRMSNorm(nn.Module):
    """Looks like one of those, and is not: its weight is shifted, as Gemma's."""

    def __init__(self):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.rand(8)), 1e-6

    def forward(self, x):
        return (1 + self.weight) * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def test_a_layer_that_computes_otherwise_is_left_alone(monkeypatch):
    network = nn.Sequential(OddRMSNorm())
    state = torch.get_rng_state()
    quick_layers.quicken(network)
    assert quickened(network) == (0, 0) and type(network[0]) is OddRMSNorm and torch.equal(state, torch.get_rng_state())
    monkeypatch.setattr(quick_layers, "same", lambda *_: True)  # without the trial it would be taken for one
    quick_layers.quicken(network)
    assert quickened(network) == (1, 0)


class HalfRMSNorm(nn.Module):
    """Gives what those give, and learns something else: its scale counts as a constant."""

    def __init__(self):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.ones(512)), 1e-6

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.detach().pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def test_the_trial_tells_gradients_apart_where_all_weights_are_one():
    """The sum of squares of such a norm does not depend on what goes in: fresh networks, whose weights are all one, were left alone for that."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    network = nn.Sequential(LlamaRMSNorm(512, eps=1e-6))
    quick_layers.quicken(network)
    assert quickened(network) == (1, 0)
    network = nn.Sequential(HalfRMSNorm())
    quick_layers.quicken(network)
    assert quickened(network) == (0, 0)


def interleaved(query, key, cos, sin):
    """A rotation of neighbours instead of halves, as Cohere's."""
    turn = lambda x: torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return query * cos + turn(query) * sin, key * cos + turn(key) * sin


def test_a_rotation_that_is_another_is_left_alone(tiny_llama, monkeypatch):
    from transformers.models.llama import modeling_llama

    monkeypatch.setattr(modeling_llama, quick_layers.ROTATION, interleaved)
    quick_layers.rotating.cache_clear()
    try:
        network = load(str(tiny_llama)).network
        assert not turning(network)
        monkeypatch.setattr(quick_layers, "turns_alike", lambda _: True)  # without the trial it would be taken for one
        quick_layers.rotating.cache_clear()
        quick_layers.quicken(network)
        assert turning(network) == 2
    finally:
        quick_layers.rotating.cache_clear()
        quick_layers.quick_attention.cache_clear()


def test_gradients_of_a_rotation_by_finite_differences():
    torch.manual_seed(0)
    x, cos, sin = (torch.randn(shape, dtype=torch.float64) for shape in ((2, 2, 3, 4), (2, 1, 3, 4), (2, 1, 3, 4)))
    assert torch.autograd.gradcheck(lambda x: quick_layers.Rotation.apply(x, cos, sin), x.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float64])
def test_gradients_by_finite_differences(dtype):
    torch.manual_seed(0)
    gate, up = (torch.randn(3, 5, dtype=dtype, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(quick_layers.Gated.apply, (gate, up))
