"""Passages by vectors: cosine of embeddings, compared with every passage; the vectors are kept on disk under what they were made from.

Exact search: 20,000 passages of 384 numbers take about a millisecond a question. P passages, Q questions, D width.
"""
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from luthier.errors import CheckpointError
from luthier.files import digest, staged_folder, verify
from luthier.retrieval.bm25 import best
from luthier.retrieval.passages import Hit

VECTORS = "vectors.f32"


def build(texts: Sequence[str], *, embed: Callable[[Sequence[str]], np.ndarray], folder: Path | None = None, key: str = "", **_) -> Callable[[Sequence[str], int], list[list[Hit]]]:
    """A search over these texts; `folder` keeps their vectors under a hash of the texts and `key`, which names the encoder."""
    vector_PD = kept_vectors(texts, embed, folder, key)

    def search(questions: Sequence[str], count: int) -> list[list[Hit]]:
        # A cosine runs from -1 to 1; moved by one it is positive, and a zero vector finds nothing.
        asked_QD = unit_length(embed(questions))
        cosine_QP = asked_QD @ vector_PD.T
        return [best(np.where(np.abs(asked).sum() > 0, cosine_P + 1, 0.0), count) for asked, cosine_P in zip(asked_QD, cosine_QP)]

    return search


def kept_vectors(texts: Sequence[str], embed: Callable[[Sequence[str]], np.ndarray], folder: Path | None, key: str) -> np.ndarray:
    """Vectors from the folder where they were made from the same texts by the same encoder, else made, and kept."""
    name = digest("vectors", key, *texts)
    if folder is not None and (found := read(folder, name)) is not None:
        return found
    vector_PD = unit_length(embed(texts))
    if folder is not None:
        with staged_folder(folder, key=name, width=vector_PD.shape[1]) as stage:
            vector_PD.astype("<f4").tofile(stage / VECTORS)
    return vector_PD


def read(folder: Path, name: str) -> np.ndarray | None:
    """The vectors in a folder, if they are whole and of this name."""
    try:
        facts = verify(folder)
    except CheckpointError:
        return None
    if facts.get("key") != name:
        return None
    return np.fromfile(folder / VECTORS, dtype="<f4").reshape(-1, facts["width"])


def unit_length(vector_ND: np.ndarray) -> np.ndarray:
    """Every line at length 1; a line of zeros stays."""
    vector_ND = np.asarray(vector_ND, dtype=np.float32)
    return vector_ND / np.maximum(np.linalg.norm(vector_ND, axis=1, keepdims=True), 1e-12)
