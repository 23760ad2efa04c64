"""Attention on a CPU where PyTorch's own is slow: in bf16, and with dropout on its probabilities.

In bf16 it goes block by block: matrix units do the products and the scores of a block stay in the processor's cache.

out = softmax(scale * Q K' + mask) V per head. PyTorch's own CPU kernel runs its backward pass in float32; here both passes are bf16 products
with float32 sums, and causal blocks above the diagonal are never computed. With dropout, in float32, PyTorch itself goes the plain way, and most of its
time is the drawing of random numbers: see `quick_dropout`. Everything else (float32, a cache of keys, other devices, a forward pass alone without a mask, at
which PyTorch's kernel is as fast) goes to PyTorch's kernel unchanged.

B rows, H heads, K key heads, G query heads per key head, T tokens, D head width.
"""
import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from luthier.models import quick_dropout
from luthier.models.logprobs import products_dtype

NAME = "luthier_blocks"
BLOCK = 128
SCORE_BYTES = 1 << 20


def attention_forward(module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, dropout: float = 0.0,
                      scaling: float | None = None, is_causal: bool | None = None, **kwargs):
    """Transformers' attention contract: query [B, H, T, D], key and value [B, K, T, D] -> [B, T, H, D]."""
    if 0 < dropout < 1 and query.device.type == "cpu" and products_dtype(query) == torch.float32 and plain(query, key, kwargs):
        return with_dropout(module, query, key, value, attention_mask, dropout, scaling, is_causal, kwargs.get("position_bias")), None
    fits = (
        products_dtype(query) == torch.bfloat16 and query.device.type == "cpu" and not dropout and (torch.is_grad_enabled() or attention_mask is not None)
        and query.shape[2] == key.shape[2] > 1 and (attention_mask is None or attention_mask.dtype == torch.bool)
        and not any(given is not None for name, given in kwargs.items() if name in ("softcap", "position_bias", "cache", "s_aux"))
    )
    if not fits:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs)
    causal = module.is_causal if is_causal is None else is_causal
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key, value = query.bfloat16(), key.bfloat16(), value.bfloat16()
    return BlockAttention.apply(query, key, value, attention_mask, scale, causal).transpose(1, 2), None


def plain(query: Tensor, key: Tensor, given: dict) -> bool:
    """Whether an attention has a key head for each head, as many keys as it may see, and asks for nothing special, a bias by position apart."""
    return query.shape[1] == key.shape[1] and query.shape[2] > 1 and not any(value is not None for name, value in given.items() if name in ("softcap", "cache", "s_aux"))


def with_dropout(module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, rate: float, scaling: float | None, is_causal: bool | None, bias: Tensor | None) -> Tensor:
    """The plain way with quick dropout; a mask is True where a query sees a key, or is added to the scores."""
    causal = mask is None and (getattr(module, "is_causal", True) if is_causal is None else is_causal)
    seen = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).tril() if causal else None
    if mask is not None:
        if mask.dtype == torch.bool:
            seen = mask
        else:
            bias = mask if bias is None else bias + mask
    return quick_dropout.attend(query, key, value, seen, bias, rate, query.shape[-1] ** -0.5 if scaling is None else scaling)


def blocks(shape: tuple[int, ...], causal: bool):
    """Slices (rows, queries, keys) that cover an attention of shape [B, K, G, T, D] with scores of about SCORE_BYTES each."""
    num_rows, num_keys, group, length, _ = shape
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        last = end if causal else length
        rows = max(1, SCORE_BYTES // (2 * num_keys * group * (end - start) * last))
        for first in range(0, num_rows, rows):
            yield slice(first, min(first + rows, num_rows)), slice(start, end), slice(0, last)


def probabilities(query: Tensor, key: Tensor, hidden: Tensor | None) -> Tensor:
    """Softmax of one block's scores [N, G * q, k]; `hidden` marks pairs that must not meet."""
    scores = query @ key.transpose(-1, -2)
    if hidden is not None:
        scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)  # finite: a row that sees nothing must not become NaN
    return scores.softmax(-1)


class BlockAttention(torch.autograd.Function):
    """softmax(scale * Q K' + mask) V; keeps Q, K, V and the output, and computes the probabilities again in the backward pass."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, causal: bool) -> Tensor:
        num_rows, num_heads, length, width = query.shape
        shape = (num_rows, key.shape[1], num_heads // key.shape[1], length, width)
        query = (query * scale).reshape(shape)
        key, value = key.contiguous(), value.contiguous()
        out = torch.empty(shape, dtype=query.dtype)
        with torch.autocast("cpu", enabled=False):
            for rows, queries, keys in blocks(shape, causal):
                q, k, v = pick(query, rows, queries), pick(key, rows, keys), pick(value, rows, keys)
                p = probabilities(q, k, hidden_pairs(mask, shape, rows, queries, keys, causal))
                out[rows, :, :, queries] = (p @ v).view(out[rows, :, :, queries].shape)
        ctx.save_for_backward(query, key, value, mask)
        ctx.scale, ctx.causal = scale, causal
        return out.view(num_rows, num_heads, length, width)

    @staticmethod
    def backward(ctx, grad_out: Tensor):
        query, key, value, mask = ctx.saved_tensors
        shape = query.shape
        grad_out = grad_out.reshape(shape)
        grad_query = torch.empty_like(query)
        grad_key, grad_value = torch.zeros(key.shape, dtype=torch.float32), torch.zeros(value.shape, dtype=torch.float32)
        with torch.autocast("cpu", enabled=False):
            for rows, queries, keys in blocks(shape, ctx.causal):
                q, k, v, g = pick(query, rows, queries), pick(key, rows, keys), pick(value, rows, keys), pick(grad_out, rows, queries)
                p = probabilities(q, k, hidden_pairs(mask, shape, rows, queries, keys, ctx.causal))
                ds = torch._softmax_backward_data(g @ v.transpose(-1, -2), p, -1, p.dtype)
                grad_query[rows, :, :, queries] = (ds @ k).view(grad_query[rows, :, :, queries].shape)
                grad_key[rows, :, keys] += (ds.transpose(-1, -2) @ q).view(grad_key[rows, :, keys].shape)
                grad_value[rows, :, keys] += (p.transpose(-1, -2) @ g).view(grad_value[rows, :, keys].shape)
        num_rows, num_keys, group, length, width = shape
        grad_query = (grad_query * ctx.scale).view(num_rows, num_keys * group, length, width)
        return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype), None, None, None


def pick(tensor: Tensor, rows: slice, tokens: slice) -> Tensor:
    """The block of [B, K, (G,) T, D] as a batch of matrices [B * K, (G *) t, D]."""
    part = tensor[rows, ..., tokens, :]
    return part.reshape(part.shape[0] * part.shape[1], -1, part.shape[-1])


def hidden_pairs(mask: Tensor | None, shape: tuple[int, ...], rows: slice, queries: slice, keys: slice, causal: bool) -> Tensor | None:
    """True where a query must not see a key, [B * K, G * q, k] or [G * q, k]; None when all may meet."""
    _, num_keys, group, _, _ = shape
    num_queries = queries.stop - queries.start
    if mask is None:
        if not causal:
            return None
        hidden = torch.ones(num_queries, keys.stop, dtype=torch.bool).triu_(queries.start + 1)
        return hidden if group == 1 else hidden.repeat(group, 1)
    hidden = ~mask[rows, :, queries, keys]
    hidden = hidden[:, :, None].expand(rows.stop - rows.start, num_keys, group, num_queries, keys.stop)
    return hidden.reshape(-1, group * num_queries, keys.stop)


AttentionInterface.register(NAME, attention_forward)
AttentionMaskInterface.register(NAME, sdpa_mask)
