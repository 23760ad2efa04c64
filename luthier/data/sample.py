"""An even sample of the rows for checks that compare rows with each other: all rows of a small file, at most 50,000 of a large one.

A row is in by the hash of what it asks, so the sample is the same whatever the order of the file, and memory does not grow with it.
"""
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from luthier.data.columns import ANSWER, INPUT, Batch, pairs_of, scatter

MOST_ROWS = 50_000
MOST_WORDS = 300
BITS = 18
DIMENSIONS = 512

Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts to vectors, [N, D]."""


class Sample:
    """Rows with their words. `rows` are places among all rows seen."""

    def __init__(self, most_rows: int = MOST_ROWS, *, with_texts: bool = False):
        self.most_rows, self.with_texts = most_rows, with_texts
        self.limit = (1 << 64) - 1
        self.seen = 0
        self.row_parts: list[np.ndarray] = []
        self.key_parts: list[np.ndarray] = []
        self.word_parts: tuple[list, list] = ([], [])
        self.length_parts: tuple[list, list] = ([], [])
        self.text_parts: list[list[str]] = []
        self.embedded: np.ndarray | None = None

    def see(self, batch: Batch) -> None:
        self.seen += len(batch)
        words = batch.words
        key_R = scatter(batch.said_SR[INPUT] + np.uint64(0x51_7C_C1_B7))
        kept_R = key_R <= np.uint64(self.limit)
        self.row_parts.append(np.flatnonzero(kept_R) + batch.first)
        self.key_parts.append(key_R[kept_R])
        for segment in (INPUT, ANSWER):
            mine = words.segment_W == segment
            row_W, hash_W = words.row_W[mine], words.hash_W[mine]
            start_R = np.searchsorted(row_W, np.arange(len(batch)))
            near = (np.arange(len(row_W)) - start_R[row_W] < MOST_WORDS) & kept_R[row_W]
            self.word_parts[segment].append(hash_W[near])
            self.length_parts[segment].append(np.bincount(row_W[near], minlength=len(batch))[kept_R])
        if self.with_texts:
            self.text_parts.append([one.segments[INPUT] for one, kept in zip(batch.facets, kept_R) if kept])
        if sum(map(len, self.row_parts)) > 2 * self.most_rows:
            self.thin()

    def thin(self) -> None:
        """Keep the rows of the smallest keys, about `most_rows`."""
        key_N = np.concatenate(self.key_parts)
        if len(key_N) <= self.most_rows:
            return
        self.limit = int(np.partition(key_N, self.most_rows)[self.most_rows])
        kept_N = key_N <= np.uint64(self.limit)
        self.row_parts, self.key_parts = [np.concatenate(self.row_parts)[kept_N]], [key_N[kept_N]]
        for segment in (INPUT, ANSWER):
            length_N = np.concatenate(self.length_parts[segment])
            self.word_parts[segment][:] = [np.concatenate(self.word_parts[segment])[np.repeat(kept_N, length_N)]]
            self.length_parts[segment][:] = [length_N[kept_N]]
        if self.with_texts:
            texts = [text for part in self.text_parts for text in part]
            self.text_parts = [[text for text, kept in zip(texts, kept_N) if kept]]

    def close(self) -> "Sample":
        """No more rows will come."""
        if self.row_parts:
            self.thin()
        return self

    @cached_property
    def rows(self) -> np.ndarray:
        return np.concatenate(self.row_parts) if self.row_parts else np.zeros(0, dtype=np.int64)

    def words(self, segment: int) -> tuple[np.ndarray, np.ndarray]:
        """Word hashes, and bounds [N + 1] of each sampled row."""
        if not self.word_parts[segment]:
            return np.zeros(0, dtype=np.uint64), np.zeros(1, dtype=np.int64)
        return np.concatenate(self.word_parts[segment]), np.concatenate([[0], np.cumsum(np.concatenate(self.length_parts[segment]))])

    @cached_property
    def texts(self) -> list[str]:
        """What is asked, as text; only where the sample was made `with_texts`."""
        return [text for part in self.text_parts for text in part]

    @cached_property
    def input_vectors(self) -> np.ndarray:
        """What is asked as vectors, by the weighed counts of its words."""
        return reduced(tfidf(*self.words(INPUT)), DIMENSIONS)

    def vectors(self, embed: Embed | None = None) -> np.ndarray:
        """What is asked as vectors, each of length 1: by `embed` where it is given, asked once, else by counts of words."""
        if embed is None:
            return self.input_vectors
        if self.embedded is None:
            self.embedded = unit(embed(self.texts))
        return self.embedded

    @property
    def whole(self) -> bool:
        return len(self.rows) == self.seen

    def scope(self) -> str:
        """What a sentence says about rows that were not looked at."""
        return "" if self.whole else f" (of {len(self.rows):,} rows looked at, of {self.seen:,})"


def counts_of(hash_W: np.ndarray, bounds_N: np.ndarray, *, pairs: bool = True):
    """Rows as counts of words and pairs of words in 2^18 hashed columns (sparse)."""
    from scipy.sparse import csr_matrix

    row_W = np.repeat(np.arange(len(bounds_N) - 1), np.diff(bounds_N))
    keys, owners = [hash_W], [row_W]
    if pairs and len(hash_W) > 1:
        within = row_W[:-1] == row_W[1:]
        keys.append(pairs_of(hash_W)[within])
        owners.append(row_W[:-1][within])
    column = (np.concatenate(keys) >> np.uint64(64 - BITS)).astype(np.int64)
    matrix = csr_matrix((np.ones(len(column), dtype=np.float32), (np.concatenate(owners), column)), shape=(len(bounds_N) - 1, 1 << BITS))
    matrix.sum_duplicates()
    return matrix


def tfidf(hash_W: np.ndarray, bounds_N: np.ndarray, *, pairs: bool = True):
    """Log counts by rarity, each row of length 1; columns of fewer than two rows are left out."""
    from scipy.sparse import diags

    matrix = counts_of(hash_W, bounds_N, pairs=pairs)
    found = np.bincount(matrix.indices, minlength=matrix.shape[1])
    columns = np.flatnonzero(found > 1)
    matrix = matrix[:, columns]
    matrix.data = 1 + np.log(matrix.data)
    matrix = matrix @ diags(np.log((1 + matrix.shape[0]) / (1 + found[columns])) + 1)
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return diags(1 / np.maximum(length, 1e-9)) @ matrix


def reduced(matrix, dimensions: int = 384) -> np.ndarray:
    """Rows in the directions of most variance (randomised singular value decomposition), float32 [N, D], each of length 1."""
    from sklearn.utils.extmath import randomized_svd

    size = min(dimensions, min(matrix.shape) - 1)
    if size < 2:
        return np.zeros((matrix.shape[0], 1), dtype=np.float32)
    left, values, _ = randomized_svd(matrix.tocsr().astype(np.float32), n_components=size, n_iter=2, random_state=17)
    return unit((left * values).astype(np.float32))


def unit(vectors_ND: np.ndarray) -> np.ndarray:
    """Vectors of length 1."""
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-9)


def left_out(vectors_ND: np.ndarray, targets_NK: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Ridge regression's prediction for every row by a model that has not seen this row: exact, in closed form (Allen's PRESS)."""
    vectors_ND = np.hstack([vectors_ND, np.ones((len(vectors_ND), 1), dtype=vectors_ND.dtype)]).astype(np.float64)
    gram = vectors_ND.T @ vectors_ND + strength * np.eye(vectors_ND.shape[1])
    solved = np.linalg.solve(gram, vectors_ND.T)
    predicted = vectors_ND @ (solved @ targets_NK)
    own = np.einsum("nd,dn->n", vectors_ND, solved)[:, None]
    return (predicted - own * targets_NK) / np.maximum(1 - own, 1e-6)


