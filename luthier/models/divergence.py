"""How far a network's predictions are from those of a reference, at the learned positions, without the logits of either ever existing whole.

KL(reference || network) = sum over v of p_ref(v) (log p_ref(v) - log p(v)). N positions, D width, V vocabulary.
"""
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from luthier.models.heads import hidden_states, projection_of, running, transformer_of
from luthier.models.logprobs import rows_per_chunk


def kl_to_reference(head, network, reference, batch) -> Tensor:
    """Weighted sum over learned positions in nats; `reference` is a context that gives the reference network. Gradients reach `network` only."""
    learned = batch.weight_BT[:, 1:] != 0
    weight_N = batch.weight_BT[:, 1:][learned].float()
    training = network.training
    with torch.no_grad(), reference() as fixed:
        fixed.eval()  # the reference answers without dropout
        with running(fixed, head.autocast):
            fixed_ND = hidden_states(fixed, batch.tokens_BT, batch.attend_BT, batch.position_BT)[:, :-1][learned]
        fixed_layer = projection_of(fixed).layer
    network.train(training)
    with running(network, head.autocast):
        hidden_ND = hidden_states(network, batch.tokens_BT, batch.attend_BT, batch.position_BT)[:, :-1][learned]
        layer = projection_of(network).layer

        def part(hidden: Tensor, fixed_hidden: Tensor, weight: Tensor) -> Tensor:
            logprob_NV = head.transform(layer(hidden).float().clone()).log_softmax(-1)
            with torch.no_grad():
                fixed_NV = head.transform(fixed_layer(fixed_hidden).float().clone()).log_softmax(-1)
            return ((fixed_NV.exp() * (fixed_NV - logprob_NV)).sum(-1) * weight).sum()

        size = rows_per_chunk(transformer_of(network).config.vocab_size)
        chunks = zip(hidden_ND.split(size), fixed_ND.split(size), weight_N.split(size), strict=True)
        return sum((checkpoint(part, *chunk, use_reentrant=False) for chunk in chunks), torch.zeros((), device=hidden_ND.device))
