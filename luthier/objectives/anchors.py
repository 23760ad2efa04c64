"""Terms that hold a model near where it started, added to any objective: weights that stay (L2-SP), answers that stay (KL to the base).

L2-to-start (Li et al. 2018, arXiv:1802.01483): strength * sum over learned weights of (w - w at the start)^2.
KL-to-base (Li and Hoiem 2016, arXiv:1606.09282, as a divergence): strength * mean over learned tokens of sum_v p_base(v) log(p_base(v) / p(v)).
Both are summed like the loss they join, so that micro-batches of any size train alike.
"""
import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor, nn

from luthier.errors import RecipeError
from luthier.models.divergence import kl_to_reference
from luthier.objectives.loss import Loss
from luthier.preparation.batches import Batch

Reference = Callable[[], contextlib.AbstractContextManager[nn.Module]]


@dataclass
class Anchored:
    """An objective with its terms; all that is not the training loss is the objective's own."""

    inner: object
    """The prepared objective."""
    head: object
    """The model's head."""
    l2: float
    kl: float
    start: dict[str, Tensor]
    """Learned weights before the first step, by name."""
    reference: Reference | None
    """The base for as long as the context lasts."""

    def __getattr__(self, name: str):
        return getattr(self.__dict__["inner"], name)

    def loss(self, network: nn.Module, batch) -> Loss:
        found = self.inner.loss(network, batch)
        total = found.total
        if self.l2:
            total = total + self.l2 * found.count * distance(network, self.start)
        if self.kl and not isinstance(batch, Batch):
            raise RecipeError("training.kl_to_base holds single answers, and this objective compares or rewards them", code="R168", field="training.kl_to_base", hint="such objectives have a hold of their own: objective.beta or objective.kl")
        if self.kl:
            total = total + self.kl * kl_to_reference(self.head, network, self.reference, batch)
        return replace(found, total=total)


def distance(network: nn.Module, start: dict[str, Tensor]) -> Tensor:
    """Squared distance of the learned weights to where they started."""
    parameters = dict(network.named_parameters())
    return sum(((parameters[name] - value) ** 2).sum() for name, value in start.items())


def anchored(objective, *, head, network: nn.Module, l2: float, kl: float, reference: Reference | None = None):
    """The objective itself where both strengths are 0. To be called before the first step, or before a checkpoint is loaded: what the weights are now is the start."""
    if not l2 and not kl:
        return objective
    if kl and head.kind != "causal":
        raise RecipeError("training.kl_to_base compares predicted tokens, and this head predicts labels", code="R168", field="training.kl_to_base", hint="use training.l2_to_start")
    start = {name: tensor.detach().clone() for name, tensor in network.named_parameters() if tensor.requires_grad} if l2 else {}
    return Anchored(objective, head, l2, kl, start, (reference or frozen_copy(network)) if kl else None)


def frozen_copy(network: nn.Module) -> Reference:
    """The network as it is now, kept beside the one that learns."""
    kept = copy.deepcopy(network).requires_grad_(False).eval()

    @contextlib.contextmanager
    def reference() -> Iterator[nn.Module]:
        yield kept

    return reference


def switched_off(method, network: nn.Module) -> Reference:
    """The base underneath what a method added."""

    @contextlib.contextmanager
    def reference() -> Iterator[nn.Module]:
        with method.disabled(network):
            yield network

    return reference
