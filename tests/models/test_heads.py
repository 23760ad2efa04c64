"""Losses through a head equal the network's own logits with plain cross-entropy: tied, untied, biased, scaled and bounded heads."""
import pytest
import torch
import torch.nn.functional as F

from luthier.models.heads import CausalHead, projection_of
from luthier.models.load import load
from luthier.models.logprobs import LogitTransform

DECODERS = ["llama", "llama_untied", "gpt2", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "granite", "gpt_neox", "phi"]


def batch(seed=0, rows=3, length=20):
    torch.manual_seed(seed)
    tokens, weight = torch.randint(7, 263, (rows, length)), torch.rand(rows, length)
    weight[:, :6] = 0
    return tokens, weight


def plain_loss(network, tokens, weight, smoothing=0.0, **inputs):
    logits = network(input_ids=tokens, **inputs).logits[:, :-1].float()
    losses = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1), reduction="none", label_smoothing=smoothing)
    return (losses * weight[:, 1:].reshape(-1)).sum()


@pytest.mark.parametrize("name", DECODERS)
def test_loss_and_gradients_equal_the_plain_ones(name, tiny_model):
    language_model = load(str(tiny_model(name)))
    network, (tokens, weight) = language_model.network.eval(), batch()
    assert not language_model.head.whole_logits, "a family whose facts are written down needs no fallback"
    total, count = language_model.head.loss(network, tokens, weight, label_smoothing=0.1)
    total.backward()
    ours = {key: parameter.grad.clone() for key, parameter in network.named_parameters()}
    network.zero_grad()
    expected = plain_loss(network, tokens, weight, 0.1)
    expected.backward()
    assert count == pytest.approx(weight[:, 1:].sum().item(), rel=1e-6)
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    for key, parameter in network.named_parameters():
        scale = max(parameter.grad.abs().max().item(), 1.0)
        assert (ours[key] - parameter.grad).abs().max().item() <= 2e-6 * scale, key


def test_padding_and_position_0_are_never_learned(tiny_llama):
    language_model = load(str(tiny_llama))
    tokens, weight = batch()
    attend = torch.ones_like(tokens)
    weight[:, 0] = 5.0
    total, count = language_model.head.loss(language_model.network, tokens, weight, attend_BT=attend)
    padded, more = F.pad(tokens, (0, 4)), F.pad(weight, (0, 4))
    again, count_again = language_model.head.loss(language_model.network, padded, more, attend_BT=F.pad(attend, (0, 4)))
    assert again.item() == pytest.approx(total.item(), rel=1e-5) and count == count_again == pytest.approx(weight[:, 1:].sum().item())


@pytest.mark.parametrize("name", DECODERS)
def test_padding_on_the_right_needs_no_mask_and_other_padding_keeps_it(name, tiny_model, monkeypatch):
    language_model = load(str(tiny_model(name)))
    network, head, (tokens, weight) = language_model.network.eval(), language_model.head, batch()
    right = torch.ones_like(tokens)
    right[1, 13:] = right[2, 17:] = 0
    weight = weight * right
    assert head.looks_back_only and head.needed(right) is None
    found = []
    for needed in (head.needed, lambda attend: attend):
        monkeypatch.setattr(head, "needed", needed)
        network.zero_grad()
        total, _ = head.loss(network, tokens, weight, attend_BT=right)
        total.backward()
        found.append((total.detach(), *(parameter.grad.clone() for parameter in network.parameters())))
    for ours, masked in zip(*found, strict=True):
        torch.testing.assert_close(ours, masked, rtol=1e-5, atol=1e-5)
    monkeypatch.undo()
    left = right.flip(1)
    assert head.needed(left) is left


def test_a_network_that_looks_ahead_keeps_its_mask(tiny_llama, monkeypatch):
    network = load(str(tiny_llama)).network
    for module in network.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False
    head, attend = CausalHead(), torch.tensor([[1, 1, 0]])
    monkeypatch.setattr("transformers.models.llama.modeling_llama.create_causal_mask", lambda **_: None)
    head.probe(network)
    assert not head.looks_back_only and head.needed(attend) is attend


def test_packed_rows_do_not_see_each_other(tiny_llama):
    """Changing the first example of a packed row changes the losses of the second by exactly nothing."""
    language_model = load(str(tiny_llama))
    tokens, _ = batch(rows=1, length=24)
    positions = torch.cat([torch.arange(10), torch.arange(14)])[None]
    weight = torch.zeros(1, 24)
    weight[:, 11:] = 1
    first = language_model.head.token_logprobs(language_model.network, tokens, weight, position_BT=positions)
    changed = tokens.clone()
    changed[:, :10] = torch.randint(7, 263, (1, 10))
    second = language_model.head.token_logprobs(language_model.network, changed, weight, position_BT=positions)
    assert torch.equal(first, second) and first.abs().sum() > 0
    leaking = language_model.head.token_logprobs(language_model.network, changed, weight)
    assert not torch.equal(first, leaking), "without positions the rows must see each other, else this test shows nothing"


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_token_logprobs_are_log_softmax(name, tiny_model):
    language_model = load(str(tiny_model(name)))
    tokens, _ = batch()
    logits = language_model.network(input_ids=tokens).logits[:, :-1]
    expected = F.pad(logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0], (1, 0))
    found = language_model.head.token_logprobs(language_model.network, tokens)
    assert torch.allclose(found, expected, atol=1e-5) and not found.requires_grad


def test_a_wrong_transform_is_found_by_the_probe(tiny_model):
    """Facts that do not explain the network's logits lead to the full logits and a notice, and the loss stays right."""
    network = load(str(tiny_model("gemma2"))).network
    head = CausalHead(LogitTransform())
    head.probe(network)
    assert head.whole_logits and "full logits" in head.notices[0]
    tokens, weight = batch()
    assert head.loss(network, tokens, weight)[0].item() == pytest.approx(plain_loss(network, tokens, weight).item(), rel=1e-6)


def test_an_output_layer_that_is_not_linear_runs_in_chunks(tiny_llama):
    """What a method puts around the output layer is honoured."""

    class Doubled(torch.nn.Linear):
        def forward(self, hidden):
            return 2 * super().forward(hidden)

    network = load(str(tiny_llama)).network
    layer = Doubled(32, 263, bias=False)
    layer.weight = network.lm_head.weight
    network.lm_head = layer
    head = CausalHead()
    head.probe(network)
    assert not projection_of(network).plain and not head.whole_logits
    tokens, weight = batch()
    total, _ = head.loss(network, tokens, weight)
    total.backward()
    grad = network.model.layers[0].mlp.up_proj.weight.grad.clone()
    network.zero_grad()
    expected = plain_loss(network, tokens, weight)
    expected.backward()
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(grad, network.model.layers[0].mlp.up_proj.weight.grad, atol=1e-4)


def test_autocast_keeps_weights_in_float32_and_comes_near(tiny_llama):
    language_model = load(str(tiny_llama), autocast=torch.bfloat16)
    tokens, weight = batch()
    total, _ = language_model.head.loss(language_model.network, tokens, weight)
    total.backward()
    assert all(parameter.dtype == parameter.grad.dtype == torch.float32 for parameter in language_model.network.parameters())
    assert total.item() == pytest.approx(plain_loss(language_model.network, tokens, weight).item(), rel=2e-2)


def test_class_head_sums_over_rows(tiny_bert):
    language_model = load(str(tiny_bert), head="sequence_class", labels=["a", "b", "c"])
    tokens, label = torch.randint(7, 263, (4, 12)), torch.tensor([0, 2, 1, 1])
    attend = torch.ones_like(tokens)
    attend[1, 8:] = 0
    total, count = language_model.head.loss(language_model.network, tokens, torch.zeros(4, 12), attend_BT=attend, label_B=label)
    logits = language_model.network(input_ids=tokens, attention_mask=attend).logits
    assert count == 4 and total.item() == pytest.approx(F.cross_entropy(logits, label, reduction="sum").item(), rel=1e-6)
    assert language_model.head.probabilities(language_model.network, tokens, attend).sum(-1) == pytest.approx(torch.ones(4), rel=1e-5)


def test_embeddings_are_means_over_each_row_alone(tiny_bert):
    from luthier.models.embedding import embed

    language_model = load(str(tiny_bert), head="sequence_class", labels=["a", "b"])
    rows = [[7, 8, 9], [10] * 30, [], [11, 12]]
    together = embed(language_model, rows, tokens_at_once=64)
    assert together.shape == (4, 32) and together.dtype == "float32"
    for index in (0, 1, 3):
        with torch.no_grad():
            mean = language_model.network.bert(input_ids=torch.tensor([rows[index]])).last_hidden_state[0].mean(0)
        assert torch.allclose(torch.from_numpy(together[index]), mean, atol=1e-5)
