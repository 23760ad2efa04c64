"""Answers that read their prompt together have the figures and gradients that they have side by side; fewer tokens are read; networks that cannot are found."""
import pytest
import torch
import transformers
from tiny_models import CONFIGURATIONS, ENCODERS

from luthier.models import shared_prompts
from luthier.models.heads import CausalHead, transformer_of
from luthier.models.token_logprobs import token_logprobs

WINDOWED = ("mistral", "gemma2", "gpt_oss")
DECODERS = [name for name in CONFIGURATIONS if name not in ENCODERS and name not in WINDOWED]
MUST_SHARE = ("llama", "llama_untied", "gpt2", "qwen2", "qwen3", "gemma", "granite", "gpt_neox", "phi", "mixtral")
"""Families for which reading together must really happen."""


def network(name: str):
    torch.manual_seed(2)
    kind, values = CONFIGURATIONS[name]
    return transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**values)).eval()


def batch(prompts: list[int], answers: int, seed: int = 3):
    """Rows of prompts of these lengths with several answers each, padded on the right, in a mixed order."""
    draw = torch.Generator().manual_seed(seed)
    ids = lambda count: torch.randint(7, 250, (count,), generator=draw).tolist()
    rows = []
    for length in prompts:
        prompt = ids(length)
        rows += [(prompt, ids(int(torch.randint(1, 9, (1,), generator=draw)))) for _ in range(answers)]
    rows = [rows[at] for at in torch.randperm(len(rows), generator=draw).tolist()]
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    tokens, weights, attend = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width), torch.zeros(len(rows), width, dtype=torch.long)
    for at, (prompt, answer) in enumerate(rows):
        tokens[at, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        weights[at, len(prompt) : len(prompt) + len(answer)] = 1
        attend[at, : len(prompt) + len(answer)] = 1
    return tokens, weights, attend


def figures(model, rows, **more):
    """Values and gradients, and how many tokens the network read."""
    read = []
    hook = transformer_of(model).get_input_embeddings().register_forward_hook(lambda module, given, out: read.append(given[0].numel()))
    logprob, entropy = token_logprobs(CausalHead(), model, *rows, entropy=True, **more)
    hook.remove()
    slope = torch.linspace(0.5, 1.5, logprob.numel()).view(logprob.shape)
    (logprob * slope + entropy * slope.flip(0)).sum().backward()
    grads = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    return logprob.detach(), entropy.detach(), grads, read[-1]


@pytest.mark.parametrize("name", DECODERS)
def test_figures_and_gradients_are_those_of_rows_side_by_side(name, monkeypatch):
    model, rows = network(name), batch([20, 31], 4)
    together = figures(model, rows)
    shares = shared_prompts.TRIED.get(model, False)
    monkeypatch.setattr(shared_prompts, "WORTH", 0.0)
    apart = figures(model, rows)
    assert shares or name not in MUST_SHARE, f"{name} is read plainly"
    assert together[3] < 0.6 * apart[3] if shares else together[3] == apart[3]
    for mine, other in zip(together[:2], apart[:2], strict=True):
        assert torch.allclose(mine, other, atol=2e-5), (mine - other).abs().max()
    for parameter, other in apart[2].items():
        scale = max(1.0, other.abs().max().item())
        assert (together[2][parameter] - other).abs().max().item() < 5e-5 * scale, parameter


def test_answers_do_not_see_each_other(monkeypatch):
    """Without the mask that keeps them apart the figures differ: the comparison above can tell."""
    model, rows = network("llama"), batch([20, 31], 4)
    right = figures(model, rows)[0]
    whole = shared_prompts.laid_out
    monkeypatch.setattr(shared_prompts, "laid_out", lambda *given: (lambda made: type(made)(made.tokens_GS, made.position_GS, torch.ones_like(made.attend_G1SS).tril(), made.source_N))(whole(*given)))
    assert not torch.allclose(figures(model, rows)[0], right, atol=1e-3)
    assert not shared_prompts.tried(CausalHead(), network("llama"), *rows, lambda tokens, wanted, attend: transformer_of(model).model(tokens).last_hidden_state[:, :-1][wanted[:, 1:] != 0]), "a trial finds a network that mixes answers"


@pytest.mark.parametrize("name", ["mistral", "bloom", "falcon_alibi"])
def test_windows_and_distances_are_read_plainly(name):
    model, rows = network(name), batch([20, 31], 4)
    assert torch.isfinite(figures(model, rows)[0]).all() and not shared_prompts.TRIED.get(model, False)


def test_long_groups_are_cut_and_nothing_is_shared_that_costs_more(monkeypatch):
    tokens, weights, attend = batch([30], 6)
    assert shared_prompts.shared(tokens, weights, attend, 32).tokens_GS.shape[0] == 1
    monkeypatch.setattr(shared_prompts, "LONGEST_ROW", 45)
    assert shared_prompts.shared(tokens, weights, attend, 32).tokens_GS.shape[0] > 1
    assert shared_prompts.shared(*batch([2, 3, 4, 5], 1), 32) is None, "prompts of their own have nothing to share"
    assert shared_prompts.shared(tokens, torch.ones_like(weights) * attend, attend, 32) is None, "what is learned from the first token on has no prompt"


def test_an_entropy_that_is_only_watched_has_no_gradient():
    model, rows = network("llama_untied"), batch([20], 4)
    for parameter in model.get_output_embeddings().parameters():
        parameter.requires_grad_(False)
    for frozen in (True, False):
        model.get_output_embeddings().weight.requires_grad_(not frozen)
        logprob, entropy = token_logprobs(CausalHead(), model, *rows, entropy=True, learn_entropy=False)
        entropy.sum().backward()
        assert all(parameter.grad is None or not parameter.grad.abs().any() for parameter in model.parameters())
        model.zero_grad(set_to_none=True)
        both = token_logprobs(CausalHead(), model, *rows, entropy=True)
        assert torch.equal(both[1], entropy) and torch.equal(both[0], logprob)
