"""A loaded model as one value: network, tokenizer and head, and what was decided while loading them."""
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from luthier.models.families import Family
from luthier.models.heads import Head


@dataclass
class LanguageModel:
    """A network with its tokenizer and its head."""

    network: nn.Module
    """The Transformers network; a method may wrap it or inject into it."""
    tokenizer: object
    """The Transformers tokenizer of the model."""
    head: Head
    """How losses and log-probabilities are computed from the network."""
    name: str
    """The name as the user gave it: a path, a shipped name or a hub id."""
    folder: Path | None
    """Where the weights were read; None for a network that never lay on a disk."""
    context: int
    """The longest sequence that the network takes, in tokens."""
    fingerprint: str
    """SHA-256 over configuration and weights, hexadecimal."""
    template: str | None
    """The chat template in Jinja, or None."""
    family: Family
    """Facts about models of this kind."""
    notices: list[str] = field(default_factory=list)
    """Sentences about what was decided while loading."""
    revision: str | None = None
    """The commit of a hub model."""
    resized: int = 0
    """Rows added to the embedding because the tokenizer has more tokens than the weights had; they are untrained."""
    fresh: tuple[str, ...] = ()
    """Names of parameters that no file held: they are random until learned, so every method must save them."""
    labels: tuple[str, ...] = ()
    """Class names of a classification head, in the order of its outputs."""

    @property
    def pad_token(self) -> int:
        """The id that fills short rows; never attended to and never learned."""
        tokenizer = self.tokenizer
        for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id):
            if token is not None:
                return token
        return 0

    @property
    def stop_tokens(self) -> set[int]:
        """Ids that end a text: the tokenizer's end token and those that the configuration names."""
        named = self.network.config.eos_token_id
        listed = named if isinstance(named, list) else [named]
        return {token for token in (self.tokenizer.eos_token_id, *listed) if token is not None}

    @property
    def num_parameters(self) -> int:
        """Distinct parameters, tied ones once."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def num_trainable(self) -> int:
        """Parameters that an optimizer would change."""
        return sum(parameter.numel() for parameter in self.network.parameters() if parameter.requires_grad)

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return next(self.network.parameters()).device
