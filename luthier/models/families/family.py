"""What is known about a model family beyond its configuration class."""
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Family:
    """Facts that loading, adapters, losses and the memory plan need."""

    name: str
    """Our word for the family."""
    model_types: tuple[str, ...]
    """Values of `model_type` in config.json."""
    kind: Literal["decoder", "encoder"]
    """Decoders continue text; encoders get a head."""
    linear_layers: tuple[str, ...]
    """Last names of the linear layers inside a block: what LoRA adapts. Empty: every linear layer but the output head is looked up."""
    context: Callable[[Any], int] = lambda config: config.max_position_embeddings
    """The longest sequence in tokens, from a configuration."""
    logit_scale: Callable[[Any], float] = lambda config: 1.0
    """Factor on raw logits, from a configuration."""
    logit_softcap: Callable[[Any], float | None] = lambda config: None
    """Bound of the logits, from a configuration."""
    further_fields: tuple[str, ...] = field(default=())
    """Configuration fields that old checkpoints carry beside those of the configuration class."""
