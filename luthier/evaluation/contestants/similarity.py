"""Which training texts are most like a query: cosine over TF-IDF of words, word pairs and letters.

TF-IDF (Spärck Jones 1972) with logarithmic counts; letters are n-grams of 2 to 5 inside words, so that misspellings stay close.
"""
import re
from collections.abc import Sequence

import numpy as np
import scipy

MOST_CELLS = 20_000_000
"""Similarities held at once; bounds memory."""


class TextVectors:
    """Texts as unit-length sparse vectors, learned from training texts."""

    def __init__(self, texts: Sequence[str]):
        from sklearn.feature_extraction.text import TfidfVectorizer  # two seconds, paid only by who uses it

        rare = 2 if len(texts) >= 200 else 1
        letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=rare, dtype=np.float32)
        words = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
        # Texts of signs alone have no words, and an empty vocabulary is an error.
        self.halves = [words, letters] if any(re.search(r"\b\w", text) for text in texts) else [letters]
        self.train_NV = unit_rows(scipy.sparse.hstack([half.fit_transform(texts) for half in self.halves], format="csr"))

    def __call__(self, texts: Sequence[str]) -> "scipy.sparse.csr_matrix":
        return unit_rows(scipy.sparse.hstack([half.transform(texts) for half in self.halves], format="csr"))

    def most_similar(self, texts: Sequence[str], count: int) -> np.ndarray:
        """[N, count] numbers of the training texts most like each text, most similar first, earlier rows first among equals."""
        return ranked(self(texts), self.train_NV, count)


def unit_rows(vectors_ND):
    """Sparse vectors, each divided by its length."""
    from sklearn.preprocessing import normalize

    return normalize(vectors_ND)


def ranked(queries_ND, train_TD, count: int) -> np.ndarray:
    """[N, count] the largest dot products of each query with the training vectors, dense or sparse, best first."""
    count = min(count, train_TD.shape[0])
    block = max(1, MOST_CELLS // train_TD.shape[0])
    found = []
    for start in range(0, queries_ND.shape[0], block):
        product = queries_ND[start : start + block] @ train_TD.T
        similarity_nT = product.toarray() if scipy.sparse.issparse(product) else np.asarray(product)
        found.append(best_columns(similarity_nT, count))
    return np.concatenate(found) if found else np.zeros((0, count), dtype=int)


def best_columns(similarity_nT: np.ndarray, count: int) -> np.ndarray:
    """[n, count] columns of the largest values, largest first, the earlier column first among equals."""
    if count == 1:
        return similarity_nT.argmax(axis=1)[:, None]
    return np.argsort(-similarity_nT, axis=1, kind="stable")[:, :count]
