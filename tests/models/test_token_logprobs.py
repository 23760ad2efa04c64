"""Log-probabilities and entropies with gradient, in chunks, equal what whole logits give; with frozen and with learned output layers."""
import pytest
import torch
from transformers import AutoModelForCausalLM

from luthier.models import logprobs
from luthier.models.heads import CausalHead
from luthier.models.logprobs import LogitTransform
from luthier.models.token_logprobs import ChunkedTokenLogprobs, token_logprobs


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("transform", [LogitTransform(), LogitTransform(0.5, 3.0)], ids=["plain", "softcap"])
def test_values_and_gradients_equal_whole_logits(monkeypatch, frozen, temperature, transform):
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", 4 * 31 * 16)
    torch.manual_seed(1)
    hidden, head, bias = torch.randn(50, 12, dtype=torch.float64), torch.randn(31, 12, dtype=torch.float64), torch.randn(31, dtype=torch.float64)
    target, by_logprob, by_entropy = torch.randint(31, (50,)), torch.randn(50), torch.randn(50)

    def gradients(compute):
        leaves = [tensor.float().clone().requires_grad_(tensor is hidden or not frozen) for tensor in (hidden, head, bias)]
        logprob, entropy = compute(*leaves)
        (logprob * by_logprob + entropy * by_entropy).sum().backward()
        return logprob, entropy, [leaf.grad for leaf in leaves if leaf.grad is not None]

    def plainly(hidden, head, bias):
        raw = transform.scale * (hidden @ head.t() + bias)
        logits = (raw if transform.softcap is None else transform.softcap * torch.tanh(raw / transform.softcap)) / temperature
        every = logits.log_softmax(-1)
        return every.gather(1, target[:, None])[:, 0], -(every.exp() * every).sum(-1)

    ours = gradients(lambda hidden, head, bias: ChunkedTokenLogprobs.apply(hidden, head, bias, target, temperature, transform, True))
    theirs = gradients(plainly)
    assert torch.allclose(ours[0], theirs[0], atol=1e-5) and torch.allclose(ours[1], theirs[1], atol=1e-5)
    assert len(ours[2]) == (1 if frozen else 3)
    for mine, other in zip(ours[2], theirs[2], strict=True):
        assert torch.allclose(mine, other, atol=2e-5)


def test_on_a_network_with_padding(tiny_model):
    network = AutoModelForCausalLM.from_pretrained(tiny_model("llama"))
    tokens = torch.randint(8, 200, (3, 11))
    learned, attend = torch.zeros(3, 11), torch.ones(3, 11, dtype=torch.long)
    learned[0, 4:9], learned[1, 2:], learned[2, 7:] = 1, 1, 1
    attend[0, 9:] = 0
    found, entropy = token_logprobs(CausalHead(), network, tokens, learned, attend, entropy=True)
    every = network(input_ids=tokens, attention_mask=attend).logits[:, :-1].log_softmax(-1)
    wanted = every.gather(-1, tokens[:, 1:, None])[..., 0] * learned[:, 1:]
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(entropy, -(every.exp() * every).sum(-1) * learned[:, 1:], atol=1e-4)
    found.sum().backward()
    assert network.get_input_embeddings().weight.grad.abs().sum() > 0
