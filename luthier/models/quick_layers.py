"""Two parts of a Llama-like block with a backward pass of their own on a CPU, where passes over memory cost what products do not.

    norm:   y = w * x * r,  r = 1 / sqrt(mean(x^2) + eps)       keeps x and r       (plain: three tensors as wide as x)
    gated:  y = silu(gate) * up                                keeps gate and up   (plain: a third one)

Gradients: dx = r * (dy * w) - x * r^3 * mean(dy * w * x), dw = sum over rows of dy * x * r; dgate = silu'(gate) * dy * up, dup = dy * silu(gate).
A layer takes the short way only while it learns, and only where a trial with random numbers found that its own forward computes the same.
"""
import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TOLERANCE = 1e-5


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
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), F.silu(gate).mul_(grad)


class QuickNorm:
    """Mixed into a norm of a family."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled() and x.dtype == self.weight.dtype and (x.requires_grad or self.weight.requires_grad):
            return Norm.apply(x, self.weight, self.variance_epsilon)
        return super().forward(x)


class QuickGated:
    """Mixed into the gated layer of a family."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            return self.down_proj(Gated.apply(self.gate_proj(x), self.up_proj(x)))
        return super().forward(x)


@functools.cache
def quick(kind: type, mixed_in: type) -> type:
    """A class that is `kind` with the short way."""
    return type(kind.__name__, (mixed_in, kind), {"__module__": __name__})


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
        found = []
        module.train()
        for way in (plain, kind):
            module.__class__ = way
            own = x.clone().requires_grad_(True)
            y = module(own)
            found.append((y.detach().float(), torch.autograd.grad(y.float().square().sum(), own)[0].float()))
        module.__class__ = plain
        module.train(learning)
    allowed = TOLERANCE if x.dtype == torch.float32 else 0.05
    return all(one.shape == two.shape and bool((one - two).abs().max() <= allowed * one.abs().max()) for one, two in zip(*found, strict=True))


def quicken(network: nn.Module) -> None:
    """Give every layer that can take it the short way; of layers of one class and shape, the first is tried."""
    tried: dict[tuple, bool] = {}
    for module in network.modules():
        mixed_in = QuickNorm if is_norm(module) else QuickGated if is_gated(module) else None
        if mixed_in is None:
            continue
        width = module.weight.shape[0] if mixed_in is QuickNorm else module.gate_proj.in_features
        key, kind = (type(module), width), quick(type(module), mixed_in)
        if key not in tried:
            tried[key] = next(module.parameters()).is_meta or same(module, kind, width)
        if tried[key]:
            module.__class__ = kind
