"""The contract of an engine in another process: how it is started, how a text is asked of it, how it tells its tokens.

Prompts go to it as token ids that our own renderer made, and every value that shapes a text is sent, so that neither its chat template nor its
defaults have a say.
"""
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from luthier.generation.choosing import Likelihood


@dataclass(frozen=True)
class Shown:
    """What an engine process is to serve: one base, and adapters on it."""

    base: Path
    """A model folder, or a GGUF file."""
    id: str
    """The name under which the base answers."""
    context: int
    """Tokens of the longest text."""
    max_rows: int
    """Texts at once."""
    precision: str = "bf16"
    """The type of matrix products: bf16 or fp32."""
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """Folders of adapters by the names under which they answer."""
    rank: int = 0
    """The largest rank among them."""


@dataclass(frozen=True)
class Asked:
    """One text asked of an engine."""

    model: str
    prompt: list[int]
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    """0: all."""
    seed: int
    presence_penalty: float
    frequency_penalty: float
    stop: tuple[str, ...]
    stop_tokens: tuple[int, ...]
    stop_words: tuple[str, ...]
    """The same as text, for engines that take no ids."""
    bias: Mapping[int, float]
    logprobs: int | None
    schema: dict | None


@dataclass(frozen=True)
class Piece:
    """What one event of an engine's stream tells."""

    text: str = ""
    finish: str | None = None
    likelihoods: tuple[Likelihood, ...] = ()
    tokens: int | None = None
    """Tokens written so far, where it says so."""


class Kind(Protocol):
    """An engine."""

    name: ClassVar[str]
    program: ClassVar[str]
    """What is looked for on the path."""
    install: ClassVar[str]
    """What to type where it is missing."""
    likelihoods: ClassVar[bool]
    """Whether likelihoods of tokens can be had from it, by id."""
    reads: ClassVar[str]
    """`folder` or `gguf`."""
    key_variable: ClassVar[str]
    """The environment variable in which a started engine finds the key that only this server knows."""
    environment: ClassVar[Mapping[str, str]]
    """What else it is started with."""

    def command(self, program: str, shown: Shown, port: int) -> list[str]:
        """The argument list that starts it on this port of the loopback address."""

    def body(self, asked: Asked) -> dict:
        """The body of POST /v1/completions, a stream."""

    def tokens_body(self, model: str, text: str) -> dict:
        """The body of POST /tokenize for a plain text without special tokens."""

    def likelihoods_of(self, choice: dict) -> tuple[Likelihood, ...]:
        """The likelihoods in a choice of the stream."""
