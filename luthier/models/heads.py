"""Heads: how a loss comes out of a network without the whole logits ever existing.

A causal head runs the body once, gathers hidden states where a token is learned, and gives them to the chunked cross-entropy. Whether
body + head really are the network's logits is probed once per network, after loading; where they are not, the full logits are used and a
notice says so.

B rows, T tokens, N learned positions, D width, V vocabulary, L labels.
"""
import contextlib
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from luthier.errors import WorkFailed
from luthier.models.logprobs import PLAIN, LogitTransform, cross_entropy_sum, rows_per_chunk, target_logprobs
from luthier.models.quick_layers import QuickGated, read_only_at

NARROW_BELOW = 0.9
"""Share of learned positions below which the last gated layer computes those alone; above, to gather them costs what it saves."""


class Head(Protocol):
    """What an objective asks of a model."""

    kind: ClassVar[str]
    autocast: torch.dtype | None

    def loss(
        self, network: nn.Module, tokens_BT: Tensor, weight_BT: Tensor, attend_BT: Tensor | None = None,
        position_BT: Tensor | None = None, label_B: Tensor | None = None, *, label_smoothing: float = 0.0,
    ) -> tuple[Tensor, float]:
        """A sum in nats and what it is summed over."""


@runtime_checkable
class Settling(Protocol):
    """A head whose outputs have a unit of their own while it learns."""

    def fit(self, values, network: nn.Module) -> None:
        """Take the unit from the training values."""

    def settle(self, network: nn.Module) -> None:
        """Put the unit into the network, once it has learned."""


class Runtime(nn.Module):
    """A network that answers by itself, from an exported file: nothing of Transformers lies inside it."""


def transformer_of(network: nn.Module) -> PreTrainedModel | Runtime:
    """The Transformers network inside whatever a method wrapped around it."""
    while not isinstance(network, PreTrainedModel | Runtime):
        network = network.get_base_model()
    return network


def body_of(network: nn.Module) -> nn.Module:
    """The part of a network that ends in hidden states."""
    transformer = transformer_of(network)
    named = transformer.base_model_prefix
    return transformer.get_submodule(named) if hasattr(transformer, named) else transformer


def running(network: nn.Module, dtype: torch.dtype | None) -> contextlib.AbstractContextManager:
    """Autocast to `dtype` on the network's device; none when `dtype` is None."""
    device = next(network.parameters()).device.type
    return contextlib.nullcontext() if dtype is None else torch.autocast(device, dtype)


def hidden_states(network: nn.Module, tokens_BT: Tensor, attend_BT: Tensor | None, position_BT: Tensor | None) -> Tensor:
    """Last hidden states [B, T, D]. Packed rows come with positions and no attention mask, else they would see each other."""
    positions = {} if position_BT is None else {"position_ids": position_BT}
    return body_of(network)(input_ids=tokens_BT, attention_mask=attend_BT, use_cache=False, **positions).last_hidden_state


@dataclass(frozen=True)
class Projection:
    """The output layer of a network at this moment: adapters and saved modules looked through."""

    layer: nn.Module
    """The layer as it runs."""
    plain: bool
    """Whether it is one linear map, whose weight and bias tell all."""


def projection_of(network: nn.Module) -> Projection:
    """The output layer, through PEFT's wrapper for modules that are saved whole."""
    layer = transformer_of(network).get_output_embeddings()
    if hasattr(layer, "modules_to_save"):
        layer = layer.original_module if layer.disable_adapters else layer.modules_to_save[layer.active_adapters[0]]
    return Projection(layer, type(layer) is nn.Linear)


@dataclass
class CausalHead:
    """Next-token prediction: the weight at position i is how much predicting token i counts."""

    kind: ClassVar[str] = "causal"

    transform: LogitTransform = PLAIN
    """What the family does to raw logits."""
    whole_logits: bool = False
    """The network's own logits are used because body and output layer do not explain them."""
    looks_back_only: bool = False
    """What stands behind a token was found to change nothing in it, so that padding on the right needs no mask."""
    last_gated: str | None = None
    """The gated layer of the last block, by its name in the body, where it was found that a state reads nothing of it but at its own place."""
    autocast: torch.dtype | None = None
    """The type of matrix products while the parameters keep theirs; None: the parameters' type."""
    notices: list[str] = field(default_factory=list)
    """What the probe found."""

    def loss(self, network, tokens_BT, weight_BT, attend_BT=None, position_BT=None, label_B=None, *, label_smoothing=0.0):
        """Weighted sum of cross-entropies in nats over learned tokens, and the sum of their weights."""
        learned = weight_BT[:, 1:] != 0
        target_N, weight_N = tokens_BT[:, 1:][learned], weight_BT[:, 1:][learned].float()
        if self.whole_logits:
            logits_ND = self.logits(network, tokens_BT, attend_BT, position_BT)[:, :-1][learned].float()
            total = (F.cross_entropy(logits_ND, target_N, reduction="none", label_smoothing=label_smoothing) * weight_N).sum()
            return total, weight_N.sum().item()
        with running(network, self.autocast):
            with read_only_at(self.narrowing(network, learned), F.pad(learned, (0, 1))):
                hidden_ND = hidden_states(network, tokens_BT, self.needed(attend_BT), position_BT)[:, :-1][learned]
            total = self.sum_over(network, hidden_ND, target_N, weight_N, label_smoothing)
        return total, weight_N.sum().item()

    def sum_over(self, network: nn.Module, hidden_ND: Tensor, target_N: Tensor, weight_N: Tensor, smoothing: float) -> Tensor:
        """The weighted sum from hidden states; an output layer that is more than a linear map is run in recomputed chunks."""
        projection = projection_of(network)
        if projection.plain:
            layer = projection.layer
            return cross_entropy_sum(hidden_ND, layer.weight, target_N, weight_N, bias_V=layer.bias, smoothing=smoothing, transform=self.transform)

        def part(hidden: Tensor, target: Tensor, weight: Tensor) -> Tensor:
            logits = self.transform(projection.layer(hidden).float().clone())
            return (F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing) * weight).sum()

        size = rows_per_chunk(transformer_of(network).config.vocab_size)
        chunks = zip(hidden_ND.split(size), target_N.split(size), weight_N.split(size), strict=True)
        return sum((checkpoint(part, *chunk, use_reentrant=False) for chunk in chunks), torch.zeros((), device=hidden_ND.device))

    def needed(self, attend_BT: Tensor | None) -> Tensor | None:
        """The mask of a batch; None where it only hides padding behind rows that do not look there: kernels then leave out what lies above the diagonal."""
        if attend_BT is None or not self.looks_back_only:
            return attend_BT
        return None if bool((attend_BT[:, 1:] <= attend_BT[:, :-1]).all()) else attend_BT

    def narrowing(self, network: nn.Module, learned: Tensor) -> QuickGated | None:
        """The layer that may leave out what no loss reads; None where there is none, where nearly all is read, or where activations are recomputed, which would be in full."""
        if self.last_gated is None or int(learned.sum()) > NARROW_BELOW * learned.numel():
            return None
        found = dict(body_of(network).named_modules())
        layer = found.get(self.last_gated)  # a method may have wrapped it
        return layer if isinstance(layer, QuickGated) and not any(getattr(module, "gradient_checkpointing", False) for module in found.values()) else None

    @torch.no_grad()
    def token_logprobs(self, network, tokens_BT, weight_BT=None, attend_BT=None, position_BT=None) -> Tensor:
        """Log-probability of each token given those before it [B, T], in nats; 0 at position 0 and where `weight_BT` is 0. No gradient."""
        learned = torch.ones_like(tokens_BT[:, 1:], dtype=torch.bool) if weight_BT is None else weight_BT[:, 1:] != 0
        target_N = tokens_BT[:, 1:][learned]
        with running(network, self.autocast):
            projection = projection_of(network)
            if self.whole_logits or not projection.plain:
                logits = self.logits(network, tokens_BT, attend_BT, position_BT)[:, :-1][learned].float()
                logprob_N = logits.log_softmax(-1).gather(1, target_N[:, None])[:, 0]
            else:
                hidden_ND = hidden_states(network, tokens_BT, self.needed(attend_BT), position_BT)[:, :-1][learned]
                layer = projection.layer
                logprob_N = target_logprobs(hidden_ND, layer.weight, target_N, bias_V=layer.bias, transform=self.transform)
        logprob_BT = torch.zeros(tokens_BT.shape, dtype=torch.float32, device=tokens_BT.device)
        logprob_BT[:, 1:][learned] = logprob_N
        return logprob_BT

    def logits(self, network, tokens_BT, attend_BT=None, position_BT=None) -> Tensor:
        """The network's own logits [B, T, V]: for small inputs, probes and the networks whose logits nothing else explains."""
        positions = {} if position_BT is None else {"position_ids": position_BT}
        with running(network, self.autocast):
            return transformer_of(network)(input_ids=tokens_BT, attention_mask=attend_BT, use_cache=False, **positions).logits

    @torch.no_grad()
    def probe(self, network: nn.Module, *, tolerance: float = 1e-4) -> None:
        """Compare body + output layer with the network's logits on eight tokens; on a difference use whole logits and say so. Also find out whether tokens look back only."""
        transformer = transformer_of(network)
        was_training = transformer.training
        transformer.eval()
        tokens_BT = torch.arange(8, device=next(network.parameters()).device)[None] % transformer.config.vocab_size
        states = hidden_states(network, tokens_BT, None, None)
        other_BT = torch.cat([tokens_BT[:, :5], (tokens_BT[:, 5:] + 1) % transformer.config.vocab_size], 1)
        moved = (states - hidden_states(network, other_BT, None, None)).abs()
        self.looks_back_only = bool(moved[:, :5].max() <= 0.1 * tolerance * states.abs().max() < moved[:, 5:].max())
        ours = self.transform(projection_of(network).layer(states).float().clone())
        theirs = transformer(input_ids=tokens_BT, use_cache=False).logits.float()
        self.last_gated = read_in_place(transformer, tokens_BT, states, tolerance)
        transformer.train(was_training)
        if ours.shape != theirs.shape or not (ours - theirs).abs().max() <= tolerance * max(1.0, theirs.abs().max().item()):
            self.whole_logits = True
            self.notices.append("the network's logits are not its body and output layer alone: the full logits are computed, which needs more memory")


def read_in_place(transformer: PreTrainedModel, tokens_BT: Tensor, states_BTD: Tensor, tolerance: float) -> str | None:
    """The gated layer of the last block, where leaving out what it gives elsewhere leaves the states of two places as they are, and changes others; leaves `transformer` learning."""
    last = str(getattr(transformer.config, "num_hidden_layers", 0) - 1)
    name, layer = next(((name, module) for name, module in body_of(transformer).named_modules() if isinstance(module, QuickGated) and last in name.split(".")), (None, None))
    if layer is None:
        return None
    wanted_BT = torch.zeros_like(tokens_BT, dtype=torch.bool)
    wanted_BT[:, 2::3] = True
    transformer.train()
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), read_only_at(layer, wanted_BT):
        moved_BT = (hidden_states(transformer, tokens_BT, None, None).detach() - states_BTD).abs().amax(-1)
    allowed = (tolerance if states_BTD.dtype == torch.float32 else 0.05) * states_BTD.abs().max()
    return name if moved_BT[wanted_BT].max() <= allowed < moved_BT[~wanted_BT].max() else None


def told_apart(segment_BT: Tensor | None) -> dict[str, Tensor]:
    """How a network is told which of two texts a token belongs to."""
    return {} if segment_BT is None else {"token_type_ids": segment_BT}


@dataclass
class SequenceClassHead:
    """One label for a whole text: the classifier that Transformers puts on an encoder."""

    kind: ClassVar[str] = "sequence_class"

    autocast: torch.dtype | None = None
    """The type of matrix products while the parameters keep theirs; None: the parameters' type."""
    notices: list[str] = field(default_factory=list)
    """Nothing is probed here; the list is there for the reader of every head."""

    def loss(self, network, tokens_BT, weight_BT, attend_BT=None, position_BT=None, label_B=None, *, share_B=None, segment_BT=None, label_smoothing=0.0):
        """Sum of cross-entropies in nats over the rows, and the number of rows; with `share_B` each row counts so much."""
        if label_B is None:
            raise WorkFailed("a classification head learns from labels, and this batch has none", hint="use `task: classification`")
        return self.sum_of(self.logits(network, tokens_BT, attend_BT, segment_BT=segment_BT), label_B, share_B, label_smoothing=label_smoothing)

    def sum_of(self, logits_BL: Tensor, label_B: Tensor, share_B: Tensor | None, *, label_smoothing: float = 0.0) -> tuple[Tensor, float]:
        """The sum and what it is summed over, from logits."""
        if share_B is None:
            return F.cross_entropy(logits_BL.float(), label_B, reduction="sum", label_smoothing=label_smoothing), float(len(label_B))
        loss_B = F.cross_entropy(logits_BL.float(), label_B, reduction="none", label_smoothing=label_smoothing)
        return (loss_B * share_B).sum(), share_B.sum().item()

    def logits(self, network, tokens_BT, attend_BT=None, position_BT=None, segment_BT=None) -> Tensor:
        """Logits [B, L]."""
        with running(network, self.autocast):
            return transformer_of(network)(input_ids=tokens_BT, attention_mask=attend_BT, **told_apart(segment_BT)).logits

    @torch.no_grad()
    def probabilities(self, network, tokens_BT, attend_BT=None) -> Tensor:
        """Probabilities [B, L] in float32, without gradient."""
        return self.logits(network, tokens_BT, attend_BT).float().softmax(-1)
