"""Heads that write words of the vocabulary from the whole row: the masked-word head of encoders, and encoder-decoders.

The vocabulary projection sees only the positions that are learned: a hook in front of the output layer keeps those rows of the hidden states.
Where the output layer is one plain linear map and explains the network's own logits (probed once), the chunked cross-entropy does the rest.

B rows, T tokens written, S tokens read, N learned positions, D width, V vocabulary.
"""
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.errors import WorkFailed
from luthier.models.heads import projection_of, running, transformer_of
from luthier.models.logprobs import cross_entropy_sum, target_logprobs


def projected(network: nn.Module, chosen_BT: Tensor, inputs: dict) -> Tensor:
    """Hidden states [N, D] in front of the output layer at the chosen positions.

    The output layer itself runs on a single position only.
    """
    held = []

    def keep(_, given: tuple) -> tuple:
        held.append(given[0][chosen_BT])
        return (given[0][:1, :1], *given[1:])

    handle = projection_of(network).layer.register_forward_pre_hook(keep)
    try:
        transformer_of(network)(**inputs)
    finally:
        handle.remove()
    if len(held) != 1:
        raise WorkFailed("the output layer of this network did not run exactly once")
    return held[0]


@dataclass
class WordHead:
    """What both heads share: the loss and the likelihood of words at chosen positions."""

    autocast: torch.dtype | None = None
    """The type of matrix products while the parameters keep theirs; None: the parameters' type."""
    whole_logits: bool = False
    """The network's own logits are used because hidden states and output layer do not explain them."""
    notices: list[str] = field(default_factory=list)
    """What the probe found."""

    def summed(self, network, learned_BT: Tensor, target_N: Tensor, weight_N: Tensor, smoothing: float, inputs: dict) -> Tensor:
        """Weighted sum of cross-entropies in nats."""
        with running(network, self.autocast):
            projection = projection_of(network)
            if self.whole_logits or not projection.plain:
                logits_NV = transformer_of(network)(**inputs).logits[learned_BT].float()
                return (F.cross_entropy(logits_NV, target_N, reduction="none", label_smoothing=smoothing) * weight_N).sum()
            hidden_ND = projected(network, learned_BT, inputs)
            return cross_entropy_sum(hidden_ND, projection.layer.weight, target_N, weight_N, bias_V=projection.layer.bias, smoothing=smoothing)

    @torch.no_grad()
    def chosen_logprobs(self, network, learned_BT: Tensor, target_N: Tensor, inputs: dict) -> Tensor:
        """Log-probability of each target [N] in nats, no gradient."""
        with running(network, self.autocast):
            projection = projection_of(network)
            if self.whole_logits or not projection.plain:
                return transformer_of(network)(**inputs).logits[learned_BT].float().log_softmax(-1).gather(1, target_N[:, None])[:, 0]
            hidden_ND = projected(network, learned_BT, inputs)
            return target_logprobs(hidden_ND, projection.layer.weight, target_N, bias_V=projection.layer.bias)

    @torch.no_grad()
    def compare(self, network: nn.Module, inputs: dict, length: int, tolerance: float) -> None:
        """Hidden states and output layer against the network's own logits; on a difference the whole logits are used, and that is said."""
        transformer = transformer_of(network)
        was_training = transformer.training
        transformer.eval()
        everywhere = torch.ones((1, length), dtype=torch.bool, device=next(network.parameters()).device)
        ours = projection_of(network).layer(projected(network, everywhere, inputs)).float()
        theirs = transformer(**inputs).logits[0].float()
        transformer.train(was_training)
        if ours.shape != theirs.shape or not (ours - theirs).abs().max() <= tolerance * max(1.0, theirs.abs().max().item()):
            self.whole_logits = True
            self.notices.append("the network's logits are not its hidden states and output layer alone: the full logits are computed, which needs more memory")


@dataclass
class MaskedHead(WordHead):
    """Words that were masked, from all the others (arXiv:1810.04805)."""

    kind: ClassVar[str] = "masked"

    def loss(self, network, tokens_BT, weight_BT, attend_BT=None, position_BT=None, label_B=None, *, target_BT=None, label_smoothing=0.0):
        """Weighted sum of cross-entropies in nats over positions with a weight, and the sum of their weights."""
        if target_BT is None:
            raise WorkFailed("a masked-word head learns the words behind its masks, and this batch does not say them", hint="use `task: masked_lm`")
        learned = weight_BT != 0
        weight_N = weight_BT[learned].float()
        inputs = {"input_ids": tokens_BT, "attention_mask": attend_BT}
        return self.summed(network, learned, target_BT[learned], weight_N, label_smoothing, inputs), weight_N.sum().item()

    def target_logprobs(self, network, tokens_BT, target_BT, chosen_BT, attend_BT=None) -> Tensor:
        """Log-probability [N] of the targets at the chosen positions."""
        return self.chosen_logprobs(network, chosen_BT, target_BT[chosen_BT], {"input_ids": tokens_BT, "attention_mask": attend_BT})

    @torch.no_grad()
    def logits_at(self, network, tokens_BT, chosen_BT, attend_BT=None) -> Tensor:
        """Logits [N, V] in float32 at the chosen positions."""
        with running(network, self.autocast):
            return transformer_of(network)(input_ids=tokens_BT, attention_mask=attend_BT).logits[chosen_BT].float()

    def probe(self, network: nn.Module, *, tolerance: float = 1e-4) -> None:
        """See `compare`."""
        size = transformer_of(network).config.vocab_size
        tokens_BT = torch.arange(8, device=next(network.parameters()).device)[None] % size
        self.compare(network, {"input_ids": tokens_BT}, 8, tolerance)


@dataclass
class Seq2SeqHead(WordHead):
    """An encoder reads the source, a decoder writes the target: -log p(target token | source, those before it)."""

    kind: ClassVar[str] = "seq2seq"

    def loss(
        self, network, tokens_BT, weight_BT, attend_BT=None, position_BT=None, label_B=None, *, source_BS=None, source_attend_BS=None, label_smoothing=0.0,
    ):
        """Weighted sum of cross-entropies in nats over what the decoder writes, and the sum of its weights."""
        if source_BS is None:
            raise WorkFailed("an encoder-decoder reads a source, and this batch has none", hint="use `task: seq2seq`")
        learned = weight_BT != 0
        weight_N = weight_BT[learned].float()
        inputs = self.inputs(network, tokens_BT, source_BS, source_attend_BS)
        return self.summed(network, learned, tokens_BT[learned], weight_N, label_smoothing, inputs), weight_N.sum().item()

    @torch.no_grad()
    def token_logprobs(self, network, tokens_BT, weight_BT, source_BS, source_attend_BS=None) -> Tensor:
        """Log-probability of each written token [B, T] in nats; 0 where `weight_BT` is 0."""
        learned = weight_BT != 0
        logprob_BT = torch.zeros(tokens_BT.shape, dtype=torch.float32, device=tokens_BT.device)
        logprob_BT[learned] = self.chosen_logprobs(network, learned, tokens_BT[learned], self.inputs(network, tokens_BT, source_BS, source_attend_BS))
        return logprob_BT

    def inputs(self, network, tokens_BT, source_BS, source_attend_BS) -> dict:
        """What the network is called with: the decoder reads its start token and what it has written so far."""
        start = torch.full_like(tokens_BT[:, :1], start_token(network))
        return {"input_ids": source_BS, "attention_mask": source_attend_BS, "decoder_input_ids": torch.cat([start, tokens_BT[:, :-1]], 1), "use_cache": False}

    def probe(self, network: nn.Module, *, tolerance: float = 1e-4) -> None:
        """See `compare`."""
        size = transformer_of(network).config.vocab_size
        tokens_BT = torch.arange(8, device=next(network.parameters()).device)[None] % size
        self.compare(network, self.inputs(network, tokens_BT, tokens_BT, None), 8, tolerance)


def start_token(network: nn.Module) -> int:
    """What the decoder begins with."""
    config = transformer_of(network).config
    # T5's configuration class has no such field; its texts begin with the padding token
    found = config.decoder_start_token_id if hasattr(config, "decoder_start_token_id") else config.pad_token_id
    if found is None:
        raise WorkFailed("this encoder-decoder does not say with which token its decoder begins", hint="set decoder_start_token_id in its config.json")
    return found
