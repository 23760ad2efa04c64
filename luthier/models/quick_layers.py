"""Two parts of a Llama-like block with a backward pass of their own on a CPU, where passes over memory cost what products do not.

    norm:   y = w * x * r,  r = 1 / sqrt(mean(x^2) + eps)       keeps x and r       (plain: three tensors as wide as x)
    gated:  y = silu(gate) * up                                keeps gate and up   (plain: a third one)

Gradients: dx = r * (dy * w) - x * r^3 * mean(dy * w * x), dw = sum over rows of dy * x * r; dgate = silu'(gate) * dy * up, dup = dy * silu(gate).
A layer takes the short way only while it learns, and only where a trial with random numbers found that its own forward computes the same.
"""
import contextlib
import functools
import types
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from luthier.models.quick_dropout import QuickDropout, is_dropout

TOLERANCE = 1e-5
GATED_ROWS = 64
"""Rows of a gated layer's backward pass at a time: what is made on the way stays in the processor's cache."""


class Norm(torch.autograd.Function):
    """Root mean square norm; sums in float32."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        r = (torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_() / x.shape[-1] + epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return (wide * r).to(x.dtype).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, r = ctx.saved_tensors
        wide, grad = x.float(), grad.float()
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (wide * r).mul_(grad).flatten(0, -2).sum(0).to(weight.dtype)
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None
        inner = grad * weight
        pull = torch.linalg.vecdot(inner, wide).unsqueeze(-1).mul_(r.pow(3)).div_(-x.shape[-1])
        return inner.mul_(r).addcmul_(wide, pull).to(x.dtype), grad_weight, None


class Gated(torch.autograd.Function):
    """silu(gate) * up."""

    @staticmethod
    def forward(ctx, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        gate, up = (tensor.flatten(0, -2) for tensor in ctx.saved_tensors)
        grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
        room = gate.new_empty(min(GATED_ROWS, len(gate)), gate.shape[-1])
        parts = (tensor.split(GATED_ROWS) for tensor in (grad.reshape(gate.shape), gate, up, grad_gate, grad_up))
        for pull, gate_part, up_part, to_gate, to_up in zip(*parts, strict=True):
            inner = torch.mul(pull, up_part, out=room[: len(pull)])
            torch.ops.aten.silu_backward.grad_input(inner, gate_part, grad_input=to_gate)
            torch.ops.aten.silu.out(gate_part, out=to_up).mul_(pull)
        return grad_gate.view(grad.shape), grad_up.view(grad.shape)


class Rotation(torch.autograd.Function):
    """Rotary positions (arXiv:2104.09864) in halves: x [B, H, T, D], cos and sin [B or 1, 1, T, D]."""

    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        first, second = sin.chunk(2, -1)
        return turned(x, cos, first.neg(), second)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        cos, sin = ctx.saved_tensors
        first, second = sin.chunk(2, -1)
        return turned(grad, cos, second, first.neg()), None, None


def turned(x: Tensor, cos: Tensor, to_first: Tensor, to_second: Tensor) -> Tensor:
    """x * cos, and each half gains so much of the other."""
    out = x * cos
    half = x.shape[-1] // 2
    out[..., :half].addcmul_(x[..., half:], to_first)
    out[..., half:].addcmul_(x[..., :half], to_second)
    return out


class QuickNorm:
    """Mixed into a norm of a family."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled() and x.dtype == self.weight.dtype and (x.requires_grad or self.weight.requires_grad):
            return Norm.apply(x, self.weight, self.variance_epsilon)
        return super().forward(x)


class QuickGated:
    """Mixed into the gated layer of a family."""

    wanted_BT: Tensor | None = None
    """Where its output is read, while that is known; elsewhere it is zero."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        if self.wanted_BT is None or x.shape[:-1] != self.wanted_BT.shape:
            return self.down_proj(Gated.apply(self.gate_proj(x), self.up_proj(x)))
        read_ND = x[self.wanted_BT]
        read_ND = self.down_proj(Gated.apply(self.gate_proj(read_ND), self.up_proj(read_ND)))
        return read_ND.new_zeros(x.shape).index_put((self.wanted_BT,), read_ND)


@contextlib.contextmanager
def read_only_at(layer: QuickGated | None, wanted_BT: Tensor) -> Iterator[None]:
    """A gated layer computes only what is read of it while this lasts; nothing changes where there is none."""
    if layer is None:
        yield
        return
    layer.wanted_BT = wanted_BT
    try:
        yield
    finally:
        layer.wanted_BT = None


ROTATION = "apply_rotary_pos_emb"
"""What Transformers calls the function that turns queries and keys, in the module of every family."""


class QuickRotation:
    """Mixed into the attention of a family: its own forward, in which another function turns queries and keys."""

    rotating: Callable

    def forward(self, *args, **kwargs):
        return self.rotating(*args, **kwargs) if self.training and torch.is_grad_enabled() else super().forward(*args, **kwargs)


def rotated(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys [B, H, T, D], turned by cos and sin [B, T, D]."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return Rotation.apply(query, cos, sin), Rotation.apply(key, cos, sin)


@functools.cache
def rotating(kind: type) -> Callable | None:
    """The forward of an attention with our rotation in the place of the family's; None where it has another one, or none."""
    forward = kind.forward
    plain = getattr(forward, "__globals__", {}).get(ROTATION)
    if plain is None or ROTATION not in forward.__code__.co_names or not turns_alike(plain):
        return None

    def rotate(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *more, **named) -> tuple[Tensor, Tensor]:
        fits = not (more or named) and query.dtype == key.dtype == cos.dtype and query.requires_grad and key.requires_grad and cos.shape[-1] == query.shape[-1] and not cos.requires_grad
        return rotated(query, key, cos, sin) if fits else plain(query, key, cos, sin, *more, **named)

    made = types.FunctionType(forward.__code__, {**forward.__globals__, ROTATION: rotate}, forward.__name__, forward.__defaults__, forward.__closure__)
    made.__kwdefaults__ = forward.__kwdefaults__
    return made


@functools.cache
def turns_alike(plain: Callable) -> bool:
    """Whether a family's rotation gives what ours gives on random numbers, forwards and backwards."""
    # Numbers are made and compared on the processor, whatever device stands around: where only shapes are asked for, there is nothing to compare.
    with torch.enable_grad(), torch.device("cpu"):
        generator = torch.Generator().manual_seed(0)
        query, key, cos, sin = (torch.randn(shape, generator=generator) for shape in ((2, 4, 3, 8), (2, 2, 3, 8), (2, 3, 8), (2, 3, 8)))
        pulls, found = [torch.randn(side.shape, generator=generator) for side in (query, key)], []
        for rotate in (plain, rotated):
            sides = [side.clone().requires_grad_(True) for side in (query, key)]
            try:
                turned_sides = rotate(*sides, cos, sin)
            except (TypeError, RuntimeError, ValueError, IndexError):  # it asks for something else
                return False
            if not isinstance(turned_sides, tuple) or len(turned_sides) != 2:
                return False
            found.append([*turned_sides, *torch.autograd.grad(turned_sides, sides, pulls)])
        return all(one.shape == two.shape and torch.allclose(one, two, rtol=TOLERANCE, atol=TOLERANCE) for one, two in zip(*found, strict=True))


@functools.cache
def quick(kind: type, mixed_in: type) -> type:
    """A class that is `kind` with the short way."""
    return type(kind.__name__, (mixed_in, kind), {"__module__": __name__})


@functools.cache
def quick_attention(kind: type) -> type:
    """A class that is the attention `kind` with our rotation while it learns."""
    return type(kind.__name__, (QuickRotation, kind), {"__module__": __name__, "rotating": rotating(kind)})


def is_norm(module: nn.Module) -> bool:
    """Whether a layer has what a root mean square norm has, and nothing else."""
    return type(module).__name__.endswith("RMSNorm") and [name for name, _ in module.named_parameters()] == ["weight"] and hasattr(module, "variance_epsilon")


def is_gated(module: nn.Module) -> bool:
    """Whether a layer has the three projections and the activation of Llama's."""
    return {name for name, _ in module.named_children()} == {"gate_proj", "up_proj", "down_proj", "act_fn"}


def same(module: nn.Module, kind: type, width: int) -> bool:
    """Whether both ways give the same on random numbers, forwards and backwards; the generators of random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        x, plain, learning = (3 * torch.randn(1, 3, width)).to(next(module.parameters()).dtype), type(module), module.training
        pull = torch.randn_like(x)  # a fixed one: the sum of squares of a norm whose weights are alike does not depend on x, and its gradient is noise
        found = []
        module.train()
        for way in (plain, kind):
            module.__class__ = way
            own = x.clone().requires_grad_(True)
            y = module(own)
            found.append((y.detach().float(), torch.autograd.grad(y, own, pull)[0].float()))
        module.__class__ = plain
        module.train(learning)
    allowed = TOLERANCE if x.dtype == torch.float32 else 0.05
    return all(one.shape == two.shape and bool((one - two).abs().max() <= allowed * one.abs().max()) for one, two in zip(*found, strict=True))


def quicken(network: nn.Module) -> None:
    """Give every layer that can take it the short way; of layers of one class and shape, the first is tried."""
    tried: dict[tuple, bool] = {}
    for module in network.modules():
        if isinstance(module, QuickNorm | QuickGated | QuickRotation):
            continue
        if is_dropout(module):
            module.__class__ = quick(nn.Dropout, QuickDropout)
            continue
        if rotating(type(module)):
            module.__class__ = quick_attention(type(module))
            continue
        mixed_in = QuickNorm if is_norm(module) else QuickGated if is_gated(module) else None
        if mixed_in is None:
            continue
        width = module.weight.shape[0] if mixed_in is QuickNorm else module.gate_proj.in_features
        key, kind = (type(module), width), quick(type(module), mixed_in)
        if key not in tried:
            tried[key] = next(module.parameters()).is_meta or same(module, kind, width)
        if tried[key]:
            module.__class__ = kind
