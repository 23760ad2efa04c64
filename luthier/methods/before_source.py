"""What an encoder-decoder sees before every text that it reads: learned embeddings in front of the source, as PEFT's own forward puts them there.

The encoder reads K virtual tokens and the source; the decoder attends to all of it, so that the virtual tokens' hidden states stay and the mask by which it
attends grows by K. Both halves get a hook of their own: losses call the whole network, writing calls the encoder once and then the decoder alone.

B rows, S tokens of the source, K virtual tokens.
"""
from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import Tensor, nn

from luthier.models.heads import transformer_of


@dataclass(eq=False)
class SourceFront:
    """The two hooks of one network."""

    network: PeftModel
    """Holds what is learned."""
    count: int
    """K."""
    is_on: bool = True
    """Off: the base as it was."""
    reads: int = 0
    """Times that a source was given its virtual tokens."""
    is_prefix: bool = False
    """Embeddings, never keys and values."""

    def install(self) -> None:
        """Hook the encoder and the decoder."""
        transformer = transformer_of(self.network)
        transformer.get_encoder().register_forward_pre_hook(self.before_encoder, with_kwargs=True)
        transformer.get_decoder().register_forward_pre_hook(self.before_decoder, with_kwargs=True)

    def before_encoder(self, encoder: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        """The source with virtual tokens in front."""
        if not self.is_on:
            return None
        self.reads += 1
        kwargs = dict(kwargs, input_ids=args[0]) if args else dict(kwargs)
        tokens_BS = kwargs["input_ids"]
        embedded = transformer_of(self.network).get_input_embeddings()(tokens_BS)
        front = self.network.get_prompt(len(tokens_BS)).to(embedded.dtype)
        mask = self.widened(kwargs.get("attention_mask"))
        return (), kwargs | {"input_ids": None, "inputs_embeds": torch.cat([front, embedded], 1), "attention_mask": mask}

    def before_decoder(self, decoder: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        """What is attended to begins with the virtual tokens."""
        return (args, dict(kwargs, encoder_attention_mask=self.widened(kwargs.get("encoder_attention_mask")))) if self.is_on else None

    def widened(self, mask_BS: Tensor | None) -> Tensor | None:
        """Everyone sees the virtual tokens."""
        return None if mask_BS is None else torch.cat([mask_BS.new_ones(len(mask_BS), self.count), mask_BS], 1)
