"""Cross-entropy at the learned positions only, in chunks whose gradient is made in the forward pass, so that logits never exist whole.

Where the output layer learns, a chunk is some positions over the whole vocabulary. Where it is frozen (on a CPU, in float32), it is a block of the
vocabulary too: the largest logit so far, the sum of exponentials and their pull on the hidden state are carried from block to block and shrunk whenever a larger
logit appears, as attention does it (arXiv:2205.14135), so that what is passed over again and again stays in the processor's nearest cache.

Per position: loss = -(1 - s) * log p(target) - s * mean over V of log p(v), with label smoothing s; p = softmax(transform(hidden @ head' + bias)).
Its gradient by the logits is p - (1 - s) * onehot(target) - s / V. Sums are weighted, never averaged.

N positions, D width, V vocabulary.
"""
import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_BYTES = 24 << 20
BLOCK_ROWS, BLOCK_WORDS = 512, 1024
"""Positions and words of a block of 2 MiB in float32: what one core's own cache holds."""


@dataclass(frozen=True)
class LogitTransform:
    """What a family does to raw logits: logits = softcap * tanh(scale * raw / softcap), the cap left out when None."""

    scale: float = 1.0
    """Factor on the raw logits."""
    softcap: float | None = None
    """Bound that the logits approach."""

    def __call__(self, raw: Tensor) -> Tensor:
        """The final logits; may reuse the memory of `raw`."""
        if self.scale != 1.0:
            raw = raw.mul_(self.scale)
        if self.softcap is not None:
            raw = raw.div_(self.softcap).tanh_().mul_(self.softcap)
        return raw

    def slope(self, logits: Tensor) -> Tensor | float:
        """d(logits)/d(raw) at final logits."""
        if self.softcap is None:
            return self.scale
        return (1 - (logits / self.softcap).square_()).mul_(self.scale)


PLAIN = LogitTransform()


def rows_per_chunk(vocabulary: int) -> int:
    """How many positions keep one chunk of float32 logits within the processor's cache."""
    return max(16, CHUNK_BYTES // (4 * vocabulary))


def products_dtype(tensor: Tensor) -> torch.dtype:
    """The type in which matrix products run: autocast's where it is on, else the tensor's own."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


def no_autocast(tensor: Tensor) -> contextlib.AbstractContextManager:
    """Autocast off: the function below chooses its own types."""
    return torch.autocast(tensor.device.type, enabled=False)


class ChunkedCrossEntropy(torch.autograd.Function):
    """Weighted sum of cross-entropies from hidden states and the head's weight and bias; also the log-probability of each target."""

    @staticmethod
    def forward(ctx, hidden_ND: Tensor, head_VD: Tensor, bias_V: Tensor | None, target_N: Tensor, weight_N: Tensor, smoothing: float, transform: LogitTransform):
        needs_hidden, needs_head, needs_bias = ctx.needs_input_grad[:3]
        dtype = products_dtype(hidden_ND)
        if not (needs_head or needs_bias or smoothing) and transform.softcap is None and hidden_ND.device.type == "cpu" and dtype == hidden_ND.dtype == head_VD.dtype == torch.float32:
            logprob_N, grad_ND = in_blocks(hidden_ND, head_VD, bias_V, target_N, transform, wanted=needs_hidden)
            if needs_hidden:
                grad_ND.mul_(weight_N[:, None] * transform.scale)
            ctx.save_for_backward(grad_ND, None, None)
            ctx.dtypes = head_VD.dtype, None if bias_V is None else bias_V.dtype
            ctx.mark_non_differentiable(logprob_N)
            return -(logprob_N.double() @ weight_N.double()).float(), logprob_N
        grad_ND = torch.empty_like(hidden_ND) if needs_hidden else None
        grad_VD = torch.zeros(head_VD.shape, dtype=torch.float32, device=head_VD.device) if needs_head and not len(hidden_ND) else None
        grad_V = torch.zeros(len(head_VD), dtype=torch.float32, device=head_VD.device) if needs_bias else None
        logprob_N = torch.empty(len(hidden_ND), dtype=torch.float32, device=hidden_ND.device)
        total = torch.zeros((), dtype=torch.float64 if hidden_ND.device.type == "cpu" else torch.float32, device=hidden_ND.device)
        size = rows_per_chunk(len(head_VD))
        with no_autocast(hidden_ND):
            head = head_VD.to(dtype)
            for start in range(0, len(hidden_ND), size):
                rows = slice(start, start + size)
                hidden, target, weight = hidden_ND[rows].to(dtype), target_N[rows, None], weight_N[rows, None]
                logits = project(hidden, head, bias_V, transform)
                slope = transform.slope(logits)
                mean = logits.mean(-1, keepdim=True) if smoothing else None
                logprob, log_sum, grown, sum_of = exponentials(logits, target)
                logprob_N[rows] = logprob[:, 0]
                loss = -logprob if mean is None else -(1 - smoothing) * logprob + smoothing * (log_sum - mean)
                total += (weight * loss).sum()
                if not (needs_hidden or needs_head or needs_bias):
                    continue
                grad, factor = chunk_gradient(grown, sum_of, target, weight, smoothing, slope)
                if needs_bias:
                    grad_V.addmv_(grad.t(), factor[:, 0])
                grad = grad.to(dtype)
                if needs_hidden:
                    grad_ND[rows] = (grad @ head) * factor
                if needs_head:
                    grad_VD = add_product(grad_VD, grad.t(), (hidden * factor).to(dtype))
        ctx.save_for_backward(grad_ND, grad_VD, grad_V)
        ctx.dtypes = head_VD.dtype, None if bias_V is None else bias_V.dtype
        ctx.mark_non_differentiable(logprob_N)
        return total.float(), logprob_N

    @staticmethod
    def backward(ctx, grad_total: Tensor, _):
        grad_ND, grad_VD, grad_V = ctx.saved_tensors
        head_dtype, bias_dtype = ctx.dtypes
        once = grad_total.item() == 1.0  # the usual case; a copy of a vocabulary-sized gradient costs as much as a layer
        scaled = lambda grad, dtype: None if grad is None else (grad if once else grad * grad_total.to(grad.dtype)).to(dtype)
        return scaled(grad_ND, None if grad_ND is None else grad_ND.dtype), scaled(grad_VD, head_dtype), scaled(grad_V, bias_dtype), None, None, None, None


def in_blocks(hidden_ND: Tensor, head_VD: Tensor, bias_V: Tensor | None, target_N: Tensor, transform: LogitTransform, *, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """Log-probability of each target [N] and, where wanted, the gradient of minus that by the final logits, carried to the hidden states [N, D] but for the transform's scale."""
    logprob_N = torch.empty(len(hidden_ND))
    grad_ND = torch.empty_like(hidden_ND) if wanted else None
    room = torch.empty(min(BLOCK_ROWS, len(hidden_ND)) * BLOCK_WORDS)
    with no_autocast(hidden_ND):
        for start in range(0, len(hidden_ND), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            hidden, target = hidden_ND[rows], target_N[rows]
            chosen, top, total, pull = row_block(hidden, head_VD, bias_V, target, transform, room, wanted=wanted)
            logprob_N[rows] = chosen.sub_(top)[:, 0].sub_(total.log()[:, 0])
            if wanted:
                grad_ND[rows] = pull.div_(total).sub_(head_VD[target])
    return logprob_N, grad_ND


def row_block(hidden: Tensor, head_VD: Tensor, bias_V: Tensor | None, target: Tensor, transform: LogitTransform, room: Tensor, *, wanted: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of n positions: the target's logit, the largest one and the sum of exp(logit - largest) as columns, and that sum over the rows of the output layer [n, D]."""
    columns = hidden.new_empty(3, len(hidden), 1)
    chosen, top, total = columns[0], columns[1].fill_(torch.finfo(torch.float32).min), columns[2].zero_()
    pull = torch.zeros_like(hidden)
    for first in range(0, len(head_VD), BLOCK_WORDS):
        head = head_VD[first : first + BLOCK_WORDS]
        logits = torch.mm(hidden, head.t(), out=room[: len(hidden) * len(head)].view(len(hidden), len(head)))
        if bias_V is not None:
            logits.add_(bias_V[first : first + BLOCK_WORDS])
        logits = transform(logits)
        here = ((target >= first) & (target < first + len(head))).nonzero()[:, 0]
        chosen[here, 0] = logits[here, target[here] - first]
        larger = torch.maximum(top, logits.amax(-1, keepdim=True))
        shrink = (top - larger).exp_()
        logits.sub_(larger).exp_()
        total.mul_(shrink).add_(logits.sum(-1, keepdim=True))
        if wanted:
            pull.mul_(shrink).addmm_(logits, head)
        top = larger
    return chosen, top, total, pull


def project(hidden: Tensor, head: Tensor, bias_V: Tensor | None, transform: LogitTransform) -> Tensor:
    """Final logits of one chunk in float32."""
    raw = (hidden @ head.t()).float()
    if bias_V is not None:
        raw = raw.add_(bias_V.float())
    return transform(raw)


def exponentials(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Columns log p(target) and log of the sum; exp(logits - their largest), which takes the memory of `logits`, and the column of its sums."""
    top = logits.amax(-1, keepdim=True)
    chosen = logits.gather(1, target) - top
    grown = logits.sub_(top).exp_()
    sum_of = grown.sum(-1, keepdim=True)
    log_sum = sum_of.log()
    return chosen - log_sum, top + log_sum, grown, sum_of


def chunk_gradient(grown: Tensor, sum_of: Tensor, target: Tensor, weight: Tensor, smoothing: float, slope: Tensor | float) -> tuple[Tensor, Tensor]:
    """Gradient of the weighted loss by the raw logits as a matrix and a column of factors for its rows; overwrites the exponentials.

    Factors meet the matrix after it is multiplied, where a row is D wide and not V: two passes less over the widest thing there is.
    """
    if not smoothing and isinstance(slope, float):
        return grown.scatter_add_(1, target, -sum_of), weight * (slope / sum_of)
    share = grown.div_(sum_of).sub_(smoothing / grown.shape[-1])
    share.scatter_add_(1, target, torch.full(target.shape, smoothing - 1.0, dtype=share.dtype, device=share.device))
    return share.mul_(slope), weight


def add_product(into: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """into + left @ right in float32, in place where the types allow it; the first product is the sum itself, so that nothing as large as the output layer is zeroed."""
    if into is None:
        return (left @ right).float()
    return into.addmm_(left, right) if left.dtype == into.dtype else into.add_(left @ right)


def cross_entropy_sum(
    hidden_ND: Tensor, head_VD: Tensor, target_N: Tensor, weight_N: Tensor, *,
    bias_V: Tensor | None = None, smoothing: float = 0.0, transform: LogitTransform = PLAIN,
) -> Tensor:
    """Weighted sum over N of the cross-entropy, in nats, differentiable by hidden states, head and bias."""
    if not torch.is_grad_enabled():  # a function makes its gradients in its forward pass, also where nobody will ask for them
        hidden_ND, head_VD, bias_V = hidden_ND.detach(), head_VD.detach(), None if bias_V is None else bias_V.detach()
    return ChunkedCrossEntropy.apply(hidden_ND, head_VD, bias_V, target_N, weight_N.float(), smoothing, transform)[0]


def target_logprobs(hidden_ND: Tensor, head_VD: Tensor, target_N: Tensor, *, bias_V: Tensor | None = None, transform: LogitTransform = PLAIN) -> Tensor:
    """Log-probability of each target [N], in nats, without gradient."""
    ones = torch.ones(len(target_N), device=hidden_ND.device)
    return ChunkedCrossEntropy.apply(hidden_ND.detach(), head_VD.detach(), None if bias_V is None else bias_V.detach(), target_N, ones, 0.0, transform)[1]


@torch.no_grad()
def edge_logprobs(
    hidden_ND: Tensor, head_VD: Tensor, source_E: Tensor, target_E: Tensor, *, bias_V: Tensor | None = None, transform: LogitTransform = PLAIN,
) -> Tensor:
    """Log-probability [E] of `target_E` as predicted at `source_E`, an ascending index into N; each position is projected once."""
    dtype = products_dtype(hidden_ND)
    size = rows_per_chunk(len(head_VD))
    bounds = torch.searchsorted(source_E, torch.arange(0, len(hidden_ND) + size, size, device=source_E.device)).tolist()
    found = torch.empty(len(source_E), dtype=torch.float32, device=hidden_ND.device)
    with no_autocast(hidden_ND):
        head = head_VD.to(dtype)
        for number, start in enumerate(range(0, len(hidden_ND), size)):
            logits = project(hidden_ND[start : start + size].to(dtype), head, bias_V, transform)
            edges = slice(bounds[number], bounds[number + 1])
            source = source_E[edges] - start
            chosen = logits[source, target_E[edges]]
            found[edges] = chosen - log_sum_exp(logits)[source]
    return found


def log_sum_exp(logits: Tensor) -> Tensor:
    """Log of the sum of exponentials over the last axis; overwrites `logits`."""
    top = logits.amax(-1, keepdim=True)
    return logits.sub_(top).exp_().sum(-1).log_() + top[:, 0]
