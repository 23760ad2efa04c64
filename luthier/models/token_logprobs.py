"""The log-probability of every learned token, with gradient: what preferences and rewards are learned through. Logits never exist whole.

Per position: log p(target) and the entropy -sum over V of p log p, with p = softmax(transform(hidden @ head' + bias) / temperature).
By the logits their gradients are onehot(target) - p and -p (log p + entropy). Where the output layer is frozen, both are carried to the hidden
states in the forward pass (they are linear in what comes back), so that the backward pass is one product; else chunks are computed again.

B rows, T tokens, N learned positions, D width, V vocabulary.
"""
import torch
from torch import Tensor, nn

from luthier.models.heads import CausalHead, hidden_states, projection_of, running
from luthier.models.logprobs import LogitTransform, no_autocast, products_dtype, project, rows_per_chunk
from luthier.models.shared_prompts import predicting_states


class ChunkedTokenLogprobs(torch.autograd.Function):
    """Log-probability of each target [N] and, where asked for, the entropy at each position [N]; both differentiable."""

    @staticmethod
    def forward(ctx, hidden_ND: Tensor, head_VD: Tensor, bias_V: Tensor | None, target_N: Tensor, temperature: float, transform: LogitTransform, entropy: bool, learn_entropy: bool = True):
        needs_hidden, needs_head, needs_bias = ctx.needs_input_grad[:3]
        dtype = products_dtype(hidden_ND)
        early = needs_hidden and not needs_head and not needs_bias
        grads = [torch.empty_like(hidden_ND) if early and wanted else None for wanted in (True, entropy and learn_entropy)]
        logprob_N = torch.empty(len(hidden_ND), dtype=torch.float32, device=hidden_ND.device)
        entropy_N = torch.zeros_like(logprob_N)
        size = rows_per_chunk(len(head_VD))
        with no_autocast(hidden_ND):
            head = head_VD.to(dtype)
            for start in range(0, len(hidden_ND), size):
                rows = slice(start, start + size)
                logits, slope, logprob_N[rows], share, entropy_N[rows] = at_targets(hidden_ND[rows].to(dtype), head, bias_V, target_N[rows], temperature, transform, entropy)
                if early:
                    for place, grad in zip(grads, gradients(logits, share, target_N[rows], entropy_N[rows], slope, temperature, entropy and learn_entropy), strict=True):
                        if place is not None:
                            place[rows] = (grad.to(dtype) @ head).to(place.dtype)
        ctx.settings = temperature, transform, entropy and learn_entropy, early, dtype
        ctx.save_for_backward(hidden_ND, head_VD, bias_V, target_N, *grads)
        return logprob_N, entropy_N

    @staticmethod
    def backward(ctx, grad_logprob_N: Tensor, grad_entropy_N: Tensor):
        hidden_ND, head_VD, bias_V, target_N, by_logprob, by_entropy = ctx.saved_tensors
        temperature, transform, entropy, early, dtype = ctx.settings
        if early:
            grad_ND = by_logprob * grad_logprob_N[:, None].to(by_logprob.dtype)
            if by_entropy is not None:
                grad_ND += by_entropy * grad_entropy_N[:, None].to(by_entropy.dtype)
            return grad_ND, None, None, None, None, None, None, None
        grad_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        grad_VD = torch.zeros(head_VD.shape, dtype=torch.float32, device=head_VD.device) if ctx.needs_input_grad[1] else None
        grad_V = torch.zeros(len(head_VD), dtype=torch.float32, device=head_VD.device) if ctx.needs_input_grad[2] else None
        size = rows_per_chunk(len(head_VD))
        with no_autocast(hidden_ND):
            head = head_VD.to(dtype)
            for start in range(0, len(hidden_ND), size):
                rows = slice(start, start + size)
                hidden = hidden_ND[rows].to(dtype)
                logits, slope, _, share, entropy_N = at_targets(hidden, head, bias_V, target_N[rows], temperature, transform, entropy)
                by_logprob, by_entropy = gradients(logits, share, target_N[rows], entropy_N, slope, temperature, entropy)
                grad = by_logprob.mul_(grad_logprob_N[rows, None])
                if by_entropy is not None:
                    grad += by_entropy.mul_(grad_entropy_N[rows, None])
                if grad_V is not None:
                    grad_V += grad.sum(0)
                grad = grad.to(dtype)
                if grad_ND is not None:
                    grad_ND[rows] = (grad @ head).to(grad_ND.dtype)
                if grad_VD is not None:
                    grad_VD += grad.t() @ hidden
        grad_VD = None if grad_VD is None else grad_VD.to(head_VD.dtype)
        return grad_ND, grad_VD, None if grad_V is None else grad_V.to(bias_V.dtype), None, None, None, None, None


def at_targets(hidden: Tensor, head: Tensor, bias_V: Tensor | None, target: Tensor, temperature: float, transform: LogitTransform, entropy: bool):
    """Of one chunk: log-probabilities [n, V] (only where entropy needs them, else None), d(final)/d(raw logits), log p(target) [n], p [n, V], entropy [n]."""
    logits = project(hidden, head, bias_V, transform)
    slope = transform.slope(logits)
    if temperature != 1.0:
        logits = logits / temperature
    logits.sub_(logits.amax(-1, keepdim=True))
    share = logits.exp()
    total = share.sum(-1, keepdim=True)
    log_total = total.log()
    logprob = logits.gather(1, target[:, None])[:, 0] - log_total[:, 0]
    share.div_(total)
    if not entropy:
        return None, slope, logprob, share, torch.zeros_like(logprob)
    logits.sub_(log_total)
    return logits, slope, logprob, share, -(share * logits).sum(-1)


def gradients(logits: Tensor | None, share: Tensor, target: Tensor, entropy_N: Tensor, slope: Tensor | float, temperature: float, entropy: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients of log p(target) and of the entropy by the raw logits [n, V]; overwrites the probabilities."""
    factor = slope / temperature
    by_entropy = -share * (logits + entropy_N[:, None]) * factor if entropy else None
    by_logprob = share.neg_()
    by_logprob.scatter_add_(1, target[:, None], torch.ones_like(target[:, None], dtype=share.dtype))
    return (by_logprob if isinstance(factor, float) and factor == 1.0 else by_logprob.mul_(factor)), by_entropy


def token_logprobs(
    head: CausalHead, network: nn.Module, tokens_BT: Tensor, learned_BT: Tensor, attend_BT: Tensor | None = None, *, temperature: float = 1.0, entropy: bool = False, learn_entropy: bool = True,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each learned token and the entropy of the distribution it was drawn from, both [B, T - 1] in nats, 0 where nothing is learned.

    `learned_BT` is not 0 where a token counts. Differentiable by everything that produced the logits; without `learn_entropy` the entropy is a figure only.
    Rows that begin with one prompt read it together.
    """
    learned = learned_BT[:, 1:] != 0
    target_N = tokens_BT[:, 1:][learned]
    with running(network, head.autocast):
        projection = projection_of(network)
        if head.whole_logits or not projection.plain:
            logits_NV = head.logits(network, tokens_BT, attend_BT)[:, :-1][learned].float() / temperature
            logprob_NV = logits_NV.log_softmax(-1)
            logprob_N, entropy_N = logprob_NV.gather(1, target_N[:, None])[:, 0], -(logprob_NV.exp() * logprob_NV).sum(-1)
        else:
            hidden_ND = predicting_states(head, network, tokens_BT, learned_BT, attend_BT, lambda tokens, wanted, attend: hidden_states(network, tokens, attend, None)[:, :-1][wanted[:, 1:] != 0])
            layer = projection.layer
            logprob_N, entropy_N = ChunkedTokenLogprobs.apply(hidden_ND, layer.weight, layer.bias, target_N, temperature, head.transform, entropy, learn_entropy)
    return spread(logprob_N, learned), spread(entropy_N, learned)


def spread(value_N: Tensor, learned: Tensor) -> Tensor:
    """Values put back where they belong [B, T - 1], zeros elsewhere."""
    return torch.zeros(learned.shape, dtype=value_N.dtype, device=value_N.device).masked_scatter(learned, value_N)




def token_logprobs_and_states(
    head: CausalHead, network: nn.Module, tokens_BT: Tensor, learned_BT: Tensor, attend_BT: Tensor | None = None, *, temperature: float = 1.0, learn_entropy: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `token_logprobs` with entropies, and the hidden state from which each learned token was predicted [B, T - 1, D], zeros elsewhere."""
    learned = learned_BT[:, 1:] != 0
    with running(network, head.autocast):
        hidden_BTD = hidden_states(network, tokens_BT, attend_BT, None)[:, :-1]
        projection = projection_of(network)
        if head.whole_logits or not projection.plain:
            logprob_BT, entropy_BT = token_logprobs(head, network, tokens_BT, learned_BT, attend_BT, temperature=temperature, entropy=True)
        else:
            layer = projection.layer
            logprob_N, entropy_N = ChunkedTokenLogprobs.apply(hidden_BTD[learned], layer.weight, layer.bias, tokens_BT[:, 1:][learned], temperature, head.transform, True, learn_entropy)
            logprob_BT, entropy_BT = spread(logprob_N, learned), spread(entropy_N, learned)
    return logprob_BT, entropy_BT, hidden_BTD * learned[..., None]
