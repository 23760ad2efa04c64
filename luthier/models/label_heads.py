"""Heads that Transformers puts on a body and that answer with classes or numbers: a class per token, several labels per row, one number per row.

A class per token: -log p(class of token i | whole row), summed over tokens with a weight. Several labels: the sum over labels of the binary
cross-entropy of each. A number: half the squared distance in units of the spread of the training values.

B rows, T tokens, L labels or classes, K numbers.
"""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.errors import WorkFailed
from luthier.models.heads import body_of, running, told_apart, transformer_of


@dataclass
class LabelHead:
    """What the heads of this file share: logits are the network's own."""

    autocast: torch.dtype | None = None
    """The type of matrix products while the parameters keep theirs; None: the parameters' type."""
    notices: list[str] = field(default_factory=list)
    """Nothing is probed here; the list is there for the reader of every head."""

    def logits(self, network, tokens_BT, attend_BT=None, position_BT=None, segment_BT=None) -> Tensor:
        """Logits [B, L], or [B, T, L] where each token has its own."""
        with running(network, self.autocast):
            return transformer_of(network)(input_ids=tokens_BT, attention_mask=attend_BT, **told_apart(segment_BT)).logits


@dataclass
class TokenClassHead(LabelHead):
    """A class for each token."""

    kind: ClassVar[str] = "token_class"

    def loss(self, network, tokens_BT, weight_BT, attend_BT=None, position_BT=None, label_B=None, *, target_BT=None, label_smoothing=0.0):
        """Weighted sum of cross-entropies in nats over tokens with a weight, and the sum of their weights."""
        if target_BT is None:
            raise WorkFailed("a token classification head learns from a class per token, and this batch has none", hint="use `task: token_classification`")
        learned = weight_BT != 0
        return self.sum_of(self.logits(network, tokens_BT, attend_BT)[learned], target_BT[learned], weight_BT[learned].float(), label_smoothing=label_smoothing)

    def sum_of(self, logits_NL: Tensor, target_N: Tensor, weight_N: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, float]:
        """The sum and what it is summed over, from logits of tokens that count."""
        return weighted(F.cross_entropy(logits_NL.float(), target_N, reduction="none", label_smoothing=label_smoothing), weight_N)


@dataclass
class MultiLabelHead(LabelHead):
    """Each label applies or does not, whatever the others do."""

    kind: ClassVar[str] = "multi_label"

    def loss(self, network, tokens_BT, weight_BT, attend_BT=None, position_BT=None, label_B=None, *, value_BK=None, share_B=None, segment_BT=None, label_smoothing=0.0):
        """Sum over rows of the mean over labels of binary cross-entropies in nats, and the number of rows."""
        if value_BK is None:
            raise WorkFailed("a head for several labels learns from 0 or 1 for each label, and this batch has none", hint="use `task: classification` with `many: true`")
        return self.sum_of(self.logits(network, tokens_BT, attend_BT, segment_BT=segment_BT), value_BK, share_B, label_smoothing=label_smoothing)

    def sum_of(self, logits_BL: Tensor, value_BL: Tensor, share_B: Tensor | None, *, label_smoothing: float = 0.0) -> tuple[Tensor, float]:
        """The sum and what it is summed over, from logits."""
        wanted_BL = value_BL * (1 - label_smoothing) + 0.5 * label_smoothing
        return weighted(F.binary_cross_entropy_with_logits(logits_BL.float(), wanted_BL, reduction="none").mean(-1), share_B)


@dataclass
class RegressionHead(LabelHead):
    """One number for a row. While it learns, the network gives numbers of mean 0 and spread 1; `settle` then folds mean and spread into its last layer."""

    kind: ClassVar[str] = "regression"

    mean: float = 0.0
    """Added to what the network gives."""
    spread: float = 1.0
    """Factor on what the network gives."""

    def fit(self, values: Sequence[float], network: nn.Module) -> None:
        """Take mean and spread from the training values; the mean stays 0 where the last layer has no bias to fold it into."""
        values = np.asarray(values, dtype=np.float64)
        self.mean = float(values.mean()) if output_layer(network).bias is not None else 0.0
        self.spread = float(np.sqrt(((values - self.mean) ** 2).mean())) or 1.0

    def loss(self, network, tokens_BT, weight_BT, attend_BT=None, position_BT=None, label_B=None, *, value_BK=None, share_B=None, segment_BT=None, label_smoothing=0.0):
        """Sum over rows of half the squared distance, in squares of the training values' spread, and the number of rows."""
        if value_BK is None:
            raise WorkFailed("a regression head learns from numbers, and this batch has none", hint="use `task: regression`")
        return self.sum_of(self.logits(network, tokens_BT, attend_BT, segment_BT=segment_BT), value_BK, share_B)

    def sum_of(self, given_BK: Tensor, value_BK: Tensor, share_B: Tensor | None) -> tuple[Tensor, float]:
        """The sum and what it is summed over, from what the network gives."""
        wanted_BK = (value_BK - self.mean) / self.spread
        return weighted(0.5 * ((given_BK.float() - wanted_BK) ** 2).sum(-1), share_B)

    @torch.no_grad()
    def values(self, network, tokens_BT, attend_BT=None, segment_BT=None) -> Tensor:
        """The numbers [B] in their own unit."""
        return self.logits(network, tokens_BT, attend_BT, segment_BT=segment_BT).float()[:, 0] * self.spread + self.mean

    @torch.no_grad()
    def settle(self, network: nn.Module) -> None:
        """Fold mean and spread into the last layer, so that whoever loads the network gets the numbers in their own unit."""
        layer = output_layer(network)
        layer.weight.mul_(self.spread)
        if layer.bias is not None:
            layer.bias.mul_(self.spread).add_(self.mean)
        self.mean, self.spread = 0.0, 1.0


def output_layer(network: nn.Module) -> nn.Linear:
    """The last linear layer behind the body: the learned copy where a method keeps one."""
    inside = {id(module) for module in body_of(network).modules()}
    outputs = transformer_of(network).config.num_labels
    found = [module for module in transformer_of(network).modules() if isinstance(module, nn.Linear) and id(module) not in inside and module.out_features == outputs]
    learned = [layer for layer in found if layer.weight.requires_grad]
    if not found:
        raise WorkFailed(f"the head of a {transformer_of(network).config.model_type} network has no last linear layer")
    return (learned or found)[-1]


def weighted(loss_B: Tensor, share_B: Tensor | None) -> tuple[Tensor, float]:
    """Sum and count of rows that count alike, or as `share_B` says."""
    if share_B is None:
        return loss_B.sum(), float(len(loss_B))
    return (loss_B * share_B).sum(), share_B.sum().item()
