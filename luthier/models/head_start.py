"""Where a new output layer starts: at the linear probe of what the network makes of the training rows, not at random numbers.

    W, b = argmin  mean over rows of loss(W s + b)  +  strength / 2 |W|^2,      s = (x - mean x) / spread x

and the layer gets W / spread and b - W mean / spread, so that it reads x itself; spread^2 is the variance plus (FLOOR rms x)^2. Linear probing before
fine-tuning (Kumar et al., arXiv:2202.10054): what the base knows about the rows is used from the first step on, whatever the scale of its features.
x is what the layer reads after the method has been applied. Nothing is drawn by lot; two fits of the same rows are equal.

N rows (or tokens, where each has a class), D width.
"""
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from luthier.errors import WorkFailed
from luthier.models.label_heads import output_layer

STRENGTH = 0.3
"""Pull of the standardised weights to 0, chosen on rows that no test uses (dev/log.md)."""
FLOOR = 0.3
"""No spread counts as less than this share of the root mean square of all features: where rows hardly differ, weights that tell them apart would be so
large that the first steps of the body drown what they say."""
MOST_ITERATIONS = 60
MOST, MOST_BYTES = 20_000, 32 << 20
"""Most rows or tokens that are read for it, and most bytes that their vectors may take."""
GOLDEN = 0.6180339887498949


class Nothing(Exception):
    """Raised and caught here alone: this network's layer cannot be started so."""


def probe_start(network: nn.Module, head, order: Sequence, batch_of: Callable[[object], object]) -> str:
    """Fit the output layer of `network` in place to training batches, `batch_of` each part of `order`; returns what was done as a sentence, empty where
    the layer keeps its random start.

    `head.sum_of(logits, wanted, share)` is what is minimised. A layer that reads other than one vector for each row or token, as behind a decoder, is left alone.
    """
    try:
        layer = output_layer(network)
        x_ND, wanted_N, share_N = features(network, head, layer, map(batch_of, spread(order)))
    except (Nothing, WorkFailed):
        return ""
    mean_D, spread_D = x_ND.mean(0), x_ND.std(0, correction=0)
    spread_D = (spread_D.square() + (FLOOR * x_ND.square().mean().sqrt()) ** 2).sqrt()
    weight, bias = fitted(head, (x_ND - mean_D) / spread_D, wanted_N, share_N, layer.out_features, with_bias=layer.bias is not None)
    if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        return ""
    weight = weight / spread_D
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias - weight @ mean_D)
    return f"the new output layer starts as the linear probe of the base over {len(x_ND):,} training examples"


def features(network: nn.Module, head, layer: nn.Linear, batches: Iterable) -> tuple[Tensor, Tensor, Tensor]:
    """What the layer reads [N, D], what is wanted, and how much each counts, dropout off."""
    network.eval()
    most = min(MOST, MOST_BYTES // (4 * layer.in_features))
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach().float()))
    try:
        with torch.no_grad():
            for batch in batches:
                head.logits(network, batch.tokens_BT, batch.attend_BT, segment_BT=batch.segment_BT)
                found.append(counted(seen.pop(), batch))
                seen.clear()
                if sum(len(one[0]) for one in found) >= most:
                    break
    finally:
        hook.remove()
    if not found:
        raise Nothing
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


def counted(x: Tensor, batch) -> tuple[Tensor, Tensor, Tensor]:
    """The vectors of a batch that are learned from, each with what is wanted of it and how much it counts."""
    if batch.target_BT is not None and x.dim() == 3:
        learned = batch.weight_BT != 0
        return x[learned], batch.target_BT[learned], batch.weight_BT[learned].float()
    wanted_B = batch.label_B if batch.value_BK is None else batch.value_BK
    if x.dim() != 2 or wanted_B is None:
        raise Nothing
    return x, wanted_B, torch.ones(len(x), device=x.device) if batch.share_B is None else batch.share_B


def fitted(head, s_ND: Tensor, wanted_N: Tensor, share_N: Tensor, outputs: int, *, with_bias: bool) -> tuple[Tensor, Tensor]:
    """Weight [outputs, D] and bias [outputs] by L-BFGS from 0 on."""
    weight = torch.zeros(outputs, s_ND.shape[1], device=s_ND.device, requires_grad=True)
    bias = torch.zeros(outputs, device=s_ND.device, requires_grad=with_bias)
    optimizer = torch.optim.LBFGS([weight, bias] if with_bias else [weight], max_iter=MOST_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total, count = head.sum_of(s_ND @ weight.T + bias, wanted_N, share_N)
        loss = total / count + STRENGTH / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()


def spread(order: Sequence) -> list:
    """The parts of an order in another one, any beginning of which is spread evenly over the whole."""
    return [order[at] for at in sorted(range(len(order)), key=lambda at: at * GOLDEN % 1)]
