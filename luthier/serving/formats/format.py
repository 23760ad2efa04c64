"""The contract of a format."""
import copy
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from torch import nn

from luthier.errors import LuthierError
from luthier.models.language_model import LanguageModel


@dataclass
class Source:
    """What is copied."""

    language_model: LanguageModel
    """The tuned model in memory."""
    method: object
    """How it was tuned."""
    folder: Path
    """The run's saved model."""
    name: str
    """What the copy is called."""

    def plain(self) -> nn.Module:
        """A plain float32 network that computes the same; the live one is left alone."""
        return self.method.merge(self.language_model.network, self.language_model)

    def with_network(self, network: nn.Module) -> LanguageModel:
        """The same language model around another network."""
        found = copy.copy(self.language_model)
        found.network = network
        return found


def needs(*packages: str) -> None:
    """LuthierError E110 where a package of the extra `export` is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise LuthierError(f"this format needs {', '.join(missing)}", code="E110", hint="pip install -c constraints.txt '.[export]'")


class Format(Protocol):
    """One kind of copy."""

    precisions: ClassVar[tuple[str, ...]]
    """The first is the default."""

    def write(self, source: Source, folder: Path, precision: str) -> None:
        """Write the copy into an empty folder; RecipeError X110 where it could not be proven."""

    def open(self, source: Source, folder: Path, precision: str) -> LanguageModel:
        """The copy as others open it, with the tokenizer and template that lie in the folder."""
