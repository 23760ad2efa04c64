"""Bases in memory, and the names under which they and their adapters answer.

A host is one base with the rows that run on it; a model is a name: a host, an adapter's place on it, and how its task asks and answers.
"""
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import nn

from luthier.errors import RecipeError
from luthier.generation.batcher import Batcher
from luthier.methods.bank import BASE, Bank
from luthier.models.heads import transformer_of
from luthier.models.language_model import LanguageModel
from luthier.preparation.renderer import Renderer
from luthier.serving.abstaining import Abstention
from luthier.serving.outside.host import FarHost, FarView

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")


@dataclass(eq=False)
class Host:
    """One base in memory."""

    language_model: LanguageModel
    bank: Bank | None = None
    """Its adapters; None where what was learned is in the network itself."""
    max_rows: int = 16
    batcher: Batcher | None = None
    """The rows that run on it; None for networks that write no text."""

    def __post_init__(self):
        self.language_model.network.eval()
        if self.language_model.head.kind == "causal":
            self.batcher = Batcher(self.language_model, self.bank, max_rows=self.max_rows)

    @property
    def bytes_per_token(self) -> int:
        """Bytes of keys and values that one token keeps."""
        config = transformer_of(self.language_model.network).config
        heads = config.num_key_value_heads if hasattr(config, "num_key_value_heads") and config.num_key_value_heads else config.num_attention_heads
        width = config.head_dim if hasattr(config, "head_dim") and config.head_dim else config.hidden_size // config.num_attention_heads
        return 2 * config.num_hidden_layers * heads * width * next(self.language_model.network.parameters()).element_size()


@dataclass(eq=False)
class Model:
    """A name that answers."""

    id: str
    host: Host | FarHost
    renderer: Renderer
    task: object
    """The prepared task: `predict` and, for labels, `answers`."""
    place: int = BASE
    """Of its adapter in the host's bank."""
    view: LanguageModel | FarView | None = None
    """What the task is given: the host's own, or a head of its own over the host's body."""
    swaps: dict[str, nn.Module] = field(default_factory=dict)
    """Modules of its own inside the host's body (a pooler), put there while it works."""
    parent: str | None = None
    """The id of its base."""
    max_new_tokens: int = 512
    """Most tokens of an answer where the request does not say."""
    lead: Callable[[str, Callable[[str], bool]], tuple[str, list]] | None = None
    """Lays passages before a question: (text, whether a text fits) to the led text and the passages that stand in it; None: questions go as they are."""
    abstention: Abstention | None = None
    """When it gives no label; None: it always gives one."""
    facts: dict = field(default_factory=dict)
    """What /v1/models tells beside: task, method, run."""
    created: int = field(default_factory=lambda: int(time.time()))
    users: int = 0
    """Requests at hand; counted by the engine."""
    retired: bool = False
    """Removed or replaced: it goes once its last request has ended."""

    def __post_init__(self):
        self.view = self.view or self.host.language_model

    @property
    def writes(self) -> bool:
        """Whether it can write text."""
        return self.is_far or self.rewrites or (self.host.batcher is not None and self.view.head.kind == "causal")

    @property
    def rewrites(self) -> bool:
        """Whether it is an encoder-decoder, which makes one text of another."""
        return not self.is_far and self.view.head.kind == "seq2seq"

    @property
    def is_far(self) -> bool:
        """Whether an engine in another process writes for it."""
        return isinstance(self.host, FarHost)

    @property
    def num_ids(self) -> int:
        """How many token ids it knows."""
        return len(self.view.tokenizer) if self.is_far else self.view.network.get_input_embeddings().weight.shape[0]

    @contextlib.contextmanager
    def at_work(self) -> Iterator[LanguageModel]:
        """Its network with its adapter on, for work outside the batch."""
        if self.host.bank is None:
            yield self.view
            return
        body = self.host.bank.body
        before = {name: body.get_submodule(name) for name in self.swaps}
        try:
            for name, module in self.swaps.items():
                setattr(body, name, module)
            with self.host.bank.choose([self.place]):
                yield self.view
        finally:
            for name, module in before.items():
                setattr(body, name, module)


class Registry:
    """The names that answer now. Changed by the engine's thread alone; read by all."""

    def __init__(self):
        self.models: dict[str, Model] = {}
        self.aliases: dict[str, str] = {}

    def add(self, model: Model, *aliases: str) -> Model | None:
        """Make a name answer; returns the model that answered to it before."""
        for name in (model.id, *aliases):
            if not NAME.fullmatch(name):
                raise RecipeError(f"{name[:80]!r} cannot be the id of a model", code="R181", hint="use letters, digits and . _ : @ / -")
        before = self.models.get(model.id)
        self.models = {**self.models, model.id: model}
        self.aliases = {**self.aliases, **{name: model.id for name in aliases}}
        return before

    def remove(self, name: str) -> Model | None:
        """Make a name answer no more."""
        model = self.find(name)
        if model is not None:
            self.models = {key: other for key, other in self.models.items() if other is not model}
            self.aliases = {key: target for key, target in self.aliases.items() if target != model.id}
        return model

    def find(self, name: str) -> Model | None:
        """The model of an id or of another name for it."""
        return self.models.get(self.aliases.get(name, name))
