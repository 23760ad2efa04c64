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
    kind: Literal["decoder", "encoder", "encoder_decoder"]
    """Decoders continue text; encoders get a head; encoder-decoders turn one text into another."""
    keys_values: tuple[str, ...] = ()
    """Places (paths inside a block) of the layers that make keys and values, fused ones included. Empty places are looked up by those of other families."""
    attention_out: tuple[str, ...] = ()
    """Places of the layers that end the attention sublayers."""
    feedforward_in: tuple[str, ...] = ()
    """Places of the first linear layers of the feed-forward sublayers."""
    feedforward_out: tuple[str, ...] = ()
    """Places of the last linear layers of the feed-forward sublayers."""
    experts: tuple[str, ...] = ()
    """Places of parameters that hold all experts of a block in one tensor."""
    gguf: bool = False
    """Whether llama.cpp, and so Ollama, knows the family."""
    reader: str = ""
    """Part of the body that reads the tokens, where the network's own head goes past the body to it."""
    transposed: bool = False
    """Whether linear layers keep their weights transposed (Conv1D)."""
    earlier_keys: bool = True
    """Whether its attention takes keys and values from before the text, which prefixes are."""
    context: Callable[[Any], int] = lambda config: config.max_position_embeddings
    """The longest sequence in tokens, from a configuration."""
    logit_scale: Callable[[Any], float] = lambda config: 1.0
    """Factor on raw logits, from a configuration."""
    logit_softcap: Callable[[Any], float | None] = lambda config: None
    """Bound of the logits, from a configuration."""
    further_fields: tuple[str, ...] = field(default=())
    """Configuration fields that old checkpoints carry beside those of the configuration class."""
