"""What a recipe says under `retrieval:`: which documents, how they are cut and how they are searched."""
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le


@dataclass(frozen=True)
class RetrievalSettings:
    """Passages that are laid before a model together with the question."""

    documents: str | None = None
    """A file or folder of documents (text, Markdown, JSONL, CSV, Parquet); none: the training rows, questions with their answers."""
    by: Literal["bm25", "dense", "hybrid"] = "bm25"
    """Words (BM25), vectors (dense), or both ranks together (hybrid)."""
    passages: Annotated[int, Ge(1), Le(50)] = 3
    """Passages laid before a question; fewer where they do not fit into the context."""
    words: Annotated[int, Ge(8), Le(2000)] = 80
    """Longest passage, in words; cuts fall between sentences where they can."""
    overlap: Annotated[int, Ge(0), Le(1000)] = 0
    """Words of the passage before that are told again; whole sentences."""
    encoder: str | None = None
    """A model that turns texts into vectors for `dense` and `hybrid`; none: the base itself."""
    in_training: bool = False
    """Lay passages before training rows too, and then before every question: the model learns to use them."""

    def __post_init__(self):
        if self.overlap >= self.words:
            raise ValueError(f"`overlap` must be below `words`, got {self.overlap} of {self.words}")
