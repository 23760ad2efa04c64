"""How far a model's next-token distributions are from a teacher's, in chunks whose gradient is made in the forward pass, so that logits never exist whole.

Per position, with p of the teacher and q of the student, both at a temperature: KL(p || q) = sum over V of p (log p - log q), in nats. Its gradient by the
student's logits is (q - p) / temperature.

N positions, D and E widths of student and teacher, V vocabulary.
"""
from dataclasses import dataclass

import torch
from torch import Tensor

from luthier.models.logprobs import PLAIN, LogitTransform, no_autocast, products_dtype, project, rows_per_chunk


@dataclass(frozen=True)
class Output:
    """An output layer."""

    weight_VD: Tensor
    bias_V: Tensor | None = None
    transform: LogitTransform = PLAIN

    def logits(self, hidden: Tensor, dtype: torch.dtype, temperature: float) -> Tensor:
        """Logits [n, V] in float32 at a temperature."""
        return project(hidden.to(dtype), self.weight_VD.to(dtype), self.bias_V, self.transform) / temperature


class ChunkedDivergence(torch.autograd.Function):
    """Weighted sum of KL(teacher || student), differentiable by the student's hidden states, output weight and bias."""

    @staticmethod
    def forward(ctx, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, transform: LogitTransform, teacher_NE: Tensor, teacher: Output, weight_N: Tensor, temperature: float):
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        dtype, student = products_dtype(hidden_ND), Output(weight_VD, bias_V, transform)
        grad_ND = torch.zeros_like(hidden_ND) if needs_hidden else None
        grad_VD = torch.zeros(weight_VD.shape, dtype=torch.float32, device=weight_VD.device) if needs_weight else None
        grad_V = torch.zeros(len(weight_VD), dtype=torch.float32, device=weight_VD.device) if needs_bias else None
        total = torch.zeros((), dtype=torch.float64 if hidden_ND.device.type == "cpu" else torch.float32, device=hidden_ND.device)
        size = rows_per_chunk(len(weight_VD))
        with no_autocast(hidden_ND):
            for start in range(0, len(hidden_ND), size):
                rows = slice(start, start + size)
                hidden, weight = hidden_ND[rows].to(dtype), weight_N[rows, None]
                raw = student.logits(hidden, dtype, 1.0)
                slope = transform.slope(raw)
                own, wanted = (raw / temperature).log_softmax(-1), teacher.logits(teacher_NE[rows], dtype, temperature).log_softmax(-1)
                share = wanted.exp()
                total += (weight * share * (wanted - own)).sum()
                grad = (own.exp() - share).mul_(weight / temperature).mul_(slope)
                if needs_bias:
                    grad_V += grad.sum(0)
                grad = grad.to(dtype)
                if needs_hidden:
                    grad_ND[rows] = (grad @ weight_VD.to(dtype)).to(grad_ND.dtype)
                if needs_weight:
                    grad_VD += grad.t() @ hidden
        ctx.save_for_backward(grad_ND, grad_VD, grad_V)
        ctx.dtypes = weight_VD.dtype, None if bias_V is None else bias_V.dtype
        return total.float()

    @staticmethod
    def backward(ctx, grad_total: Tensor):
        grad_ND, grad_VD, grad_V = ctx.saved_tensors
        return (
            None if grad_ND is None else grad_ND * grad_total.to(grad_ND.dtype), None if grad_VD is None else (grad_VD * grad_total).to(ctx.dtypes[0]),
            None if grad_V is None else (grad_V * grad_total).to(ctx.dtypes[1]), None, None, None, None, None,
        )


def divergence_sum(hidden_ND: Tensor, student: Output, teacher_NE: Tensor, teacher: Output, weight_N: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Weighted sum over N of KL(teacher || student), in nats."""
    return ChunkedDivergence.apply(hidden_ND, student.weight_VD, student.bias_V, student.transform, teacher_NE, teacher, weight_N.float(), temperature)
