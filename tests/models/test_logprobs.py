"""The chunked cross-entropy equals the plain one, in values and in every gradient, whatever the chunk."""
import pytest
import torch
import torch.nn.functional as F

from luthier.models import logprobs
from luthier.models.logprobs import LogitTransform, cross_entropy_sum, edge_logprobs, target_logprobs


def plain(hidden, head, target, weight, bias, smoothing, transform):
    logits = hidden @ head.t() + (0 if bias is None else bias)
    logits = logits * transform.scale
    if transform.softcap is not None:
        logits = transform.softcap * torch.tanh(logits / transform.softcap)
    return (F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing) * weight).sum()


def close(left, right):
    return (left - right).abs().max() <= 1e-6 * max(1.0, right.abs().max().item())


@pytest.mark.parametrize("transform", [LogitTransform(), LogitTransform(0.25), LogitTransform(1.0, 5.0), LogitTransform(2.0, 3.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("biased", [False, True])
def test_equals_the_plain_computation(transform, smoothing, biased, monkeypatch):
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", 4 * 50 * 16)  # 16 rows a chunk: 67 rows need five, the last one short
    torch.manual_seed(0)
    hidden, head, bias = torch.randn(67, 8), torch.randn(50, 8), torch.randn(50) if biased else None
    target, weight = torch.randint(0, 50, (67,)), torch.rand(67)
    results = []
    for compute in (cross_entropy_sum, plain):
        leaves = [tensor.clone().requires_grad_() for tensor in (hidden, head, *([bias] if biased else []))]
        given = leaves[2] if biased else None
        if compute is plain:
            total = plain(leaves[0], leaves[1], target, weight, given, smoothing, transform)
        else:
            total = cross_entropy_sum(leaves[0], leaves[1], target, weight, bias_V=given, smoothing=smoothing, transform=transform)
        (0.7 * total).backward()
        results.append([total.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*results, strict=True):
        assert close(ours, theirs)


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("biased", [False, True])
def test_a_frozen_head_in_blocks_of_the_vocabulary_equals_the_plain_computation(scale, biased, monkeypatch):
    monkeypatch.setattr(logprobs, "BLOCK_ROWS", 16)
    monkeypatch.setattr(logprobs, "BLOCK_WORDS", 12)  # 67 rows and 50 words: the last block of either is a short one
    torch.manual_seed(0)
    hidden, head, bias = torch.randn(67, 8), 3 * torch.randn(50, 8), 5 * torch.randn(50) if biased else None
    target, weight = torch.randint(0, 50, (67,)), torch.rand(67)
    results = []
    for compute in (lambda leaf: cross_entropy_sum(leaf, head, target, weight, bias_V=bias, transform=LogitTransform(scale)), lambda leaf: plain(leaf, head, target, weight, bias, 0.0, LogitTransform(scale))):
        leaf = hidden.clone().requires_grad_()
        total = compute(leaf)
        (0.7 * total).backward()
        results.append((total.detach(), leaf.grad))
    assert all(close(ours, theirs) for ours, theirs in zip(*results, strict=True))
    monkeypatch.setattr(torch.Tensor, "mul_", lambda self, other: self)  # sums that are not shrunk when a larger logit appears
    assert not close(cross_entropy_sum(hidden, head, target, weight, bias_V=bias, transform=LogitTransform(scale)), results[1][0])


def test_what_is_not_finite_stays_visible_in_blocks():
    hidden, head = torch.randn(3, 4), torch.randn(9, 4)
    for spoiled in (float("nan"), float("inf")):
        bad = hidden.clone()
        bad[1, 2] = spoiled
        assert not torch.isfinite(cross_entropy_sum(bad, head, torch.arange(3), torch.ones(3)))


def test_without_gradients_a_learning_head_is_multiplied_once(monkeypatch):
    """A look at validation costs one product with the output layer, not the two more of a gradient that nobody asks for."""
    monkeypatch.setattr(logprobs, "add_product", lambda *_: pytest.fail("a gradient was made"))
    hidden, head = torch.randn(9, 4, requires_grad=True), torch.randn(12, 4, requires_grad=True)
    with torch.no_grad():
        cross_entropy_sum(hidden, head, torch.arange(9), torch.ones(9))
    target_logprobs(hidden, head, torch.arange(9))
    with pytest.raises(pytest.fail.Exception):
        cross_entropy_sum(hidden, head, torch.arange(9), torch.ones(9))


def test_a_frozen_head_costs_no_gradient_and_changes_none():
    torch.manual_seed(0)
    hidden, head = torch.randn(9, 4, requires_grad=True), torch.randn(12, 4)
    cross_entropy_sum(hidden, head, torch.arange(9), torch.ones(9)).backward()
    assert head.grad is None and hidden.grad.abs().sum() > 0


def test_no_learned_position_is_zero_and_not_nan():
    hidden, head = torch.randn(0, 4, requires_grad=True), torch.randn(12, 4, requires_grad=True)
    total = cross_entropy_sum(hidden, head, torch.zeros(0, dtype=torch.long), torch.zeros(0))
    total.backward()
    assert total.item() == 0 and head.grad.abs().sum() == 0


def test_large_logits_stay_finite():
    hidden, head = 1e4 * torch.ones(3, 2), torch.tensor([[1.0, 1.0], [-1.0, -1.0], [0.0, 1.0]])
    assert torch.isfinite(cross_entropy_sum(hidden, head, torch.tensor([0, 1, 2]), torch.ones(3)))


def test_target_and_edge_logprobs_equal_log_softmax(monkeypatch):
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", 4 * 30 * 16)
    torch.manual_seed(0)
    hidden, head, bias, target = torch.randn(40, 8), torch.randn(30, 8), torch.randn(30), torch.randint(0, 30, (40,))
    expected = (hidden @ head.t() + bias).log_softmax(-1)
    assert torch.allclose(target_logprobs(hidden, head, target, bias_V=bias), expected[torch.arange(40), target], atol=1e-5)
    sources = torch.tensor([0, 0, 0, 3, 15, 16, 16, 39])
    targets = torch.tensor([1, 2, 29, 4, 5, 6, 7, 8])
    assert torch.allclose(edge_logprobs(hidden, head, sources, targets, bias_V=bias), expected[sources, targets], atol=1e-5)


def test_the_whole_logits_never_exist():
    """The largest tensor made in either pass is a chunk: a thousand positions times the vocabulary would be 4 times as large."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Largest(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    hidden, head = torch.randn(2560, 4, requires_grad=True), torch.randn(8192, 4, requires_grad=True)
    with Largest():
        cross_entropy_sum(hidden, head, torch.zeros(2560, dtype=torch.long), torch.ones(2560)).backward()
    assert largest <= logprobs.CHUNK_BYTES // 4 < 2560 * 8192 // 3
