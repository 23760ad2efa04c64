"""LoRA's layer as one function while it learns: y = W x + b + s B (A x), both products added where the first one stands.

PEFT's own layer multiplies, scales and adds in passes of their own over the widest tensor of the layer, and under autocast takes its input through
float32 and back. Here nothing is kept but x and A x, and both passes are products with an in-place sum. GPT-2's layers, whose weights lie transposed, are
read through a view. Whatever is not the plain case (dropout, DoRA, merged, switched off, several adapters, another kind of base layer, no gradient wanted)
goes to PEFT's forward unchanged.

N tokens, I inputs, O outputs, R rank.
"""
import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from luthier.models.logprobs import no_autocast, products_dtype

PLAIN = (nn.Linear, Conv1D)
"""Layers that are one product."""


class AddedProduct(torch.autograd.Function):
    """W x + b + scale * outer (inner x) [N, O]; W and b are frozen. No view is returned: DeBERTa changes in place what its layers give, which a view made in here forbids."""

    @staticmethod
    def forward(ctx, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None, inner_RI: Tensor, outer_OR: Tensor, scale: float) -> Tensor:
        dtype = products_dtype(x)
        with no_autocast(x):
            x_NI = x.reshape(-1, x.shape[-1]).to(dtype)
            small_NR = x_NI @ inner_RI.to(dtype).t()
            out_NO = F.linear(x_NI, weight_OI.to(dtype), None if bias_O is None else bias_O.to(dtype))
            out_NO.addmm_(small_NR, outer_OR.to(dtype).t(), alpha=scale)
        ctx.save_for_backward(x_NI, small_NR, weight_OI, inner_RI, outer_OR)
        ctx.scale, ctx.shape, ctx.dtype = scale, x.shape, x.dtype
        return out_NO

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x_NI, small_NR, weight_OI, inner_RI, outer_OR = ctx.saved_tensors
        dtype = x_NI.dtype
        with no_autocast(grad):
            grad_NO = grad.reshape(-1, grad.shape[-1]).to(dtype)
            back_NR = (grad_NO @ outer_OR.to(dtype)).mul_(ctx.scale)
            grad_outer = (small_NR.t() @ grad_NO).mul_(ctx.scale).to(outer_OR.dtype).t()  # half the time of the product the other way round
            grad_inner = (back_NR.t() @ x_NI).to(inner_RI.dtype)
            grad_x = None
            if ctx.needs_input_grad[0]:
                grad_x = (grad_NO @ weight_OI.to(dtype)).addmm_(back_NR, inner_RI.to(dtype)).view(ctx.shape).to(ctx.dtype)
        return grad_x, None, None, grad_inner, grad_outer, None


class Quick(Linear):
    """PEFT's layer, with the plain case as one function."""

    def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
        if args or kwargs or not torch.is_grad_enabled() or (name := plain_adapter(self)) is None:
            return super().forward(x, *args, **kwargs)
        inner, outer = self.lora_A[name].weight, self.lora_B[name].weight
        if torch.is_autocast_enabled(x.device.type) or x.dtype == inner.dtype:  # without autocast, PEFT computes a narrow input's product in the adapter's own type
            return AddedProduct.apply(x, weight_of(self.base_layer), self.base_layer.bias, inner, outer, float(self.scaling[name])).view(*x.shape[:-1], -1)
        return super().forward(x)


def weight_of(layer: nn.Module) -> Tensor:
    """The weight [O, I] of a plain layer."""
    return layer.weight.t() if type(layer) is Conv1D else layer.weight


def plain_adapter(layer: Linear) -> str | None:
    """The name of a layer's one adapter, where all that it does is add a product to a frozen layer."""
    active = layer.active_adapters
    if layer.disable_adapters or layer.merged or len(active) != 1 or active[0] not in layer.lora_A or type(layer.base_layer) not in PLAIN:
        return None
    name = active[0]
    plain = name not in layer.lora_variant and type(layer.lora_dropout[name]) is nn.Identity and layer.lora_B[name].bias is None
    return name if plain and not layer.base_layer.weight.requires_grad else None


def quicken(network: nn.Module) -> None:
    """Let every plain layer of a network that PEFT has adapted take the short way."""
    for module in network.modules():
        if type(module) is Linear and type(module.base_layer) in PLAIN:
            module.__class__ = Quick
