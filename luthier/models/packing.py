"""Whether a network keeps texts apart that share a row: told by nothing but positions that begin again, some families let them see each other, without a word."""
import torch

from luthier.models.heads import CausalHead, transformer_of
from luthier.models.language_model import LanguageModel

LENGTHS = (7, 9)
TOLERANCE = 1e-3
"""Nats: far below what one foreign token changes, far above rounding in bf16 autocast of so few tokens; exact in float32."""


@torch.no_grad()
def keeps_apart(language_model: LanguageModel) -> bool:
    """Two texts in one row have the likelihoods that each has alone, in the network as it is now. One forward pass of each; the network's mode stays."""
    head, network = language_model.head, language_model.network
    if not isinstance(head, CausalHead):
        return False
    was_training = network.training
    network.eval()
    generator = torch.Generator().manual_seed(5)
    first, second = (torch.randint(1, min(1000, transformer_of(network).config.vocab_size), (1, length), generator=generator).to(language_model.device) for length in LENGTHS)
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None].to(language_model.device)
    try:
        packed = head.token_logprobs(network, torch.cat([first, second], 1), position_BT=positions)[0]
        alone = [head.token_logprobs(network, text)[0, 1:] for text in (first, second)]
    except TypeError:  # a body that takes no positions at all
        return False
    finally:
        network.train(was_training)
    found = packed[1 : LENGTHS[0]], packed[LENGTHS[0] + 1 :]
    near = TOLERANCE if head.autocast is None and next(network.parameters()).dtype == torch.float32 else 0.1
    return all(bool((each - own).abs().max() <= near) for each, own in zip(found, alone, strict=True))
