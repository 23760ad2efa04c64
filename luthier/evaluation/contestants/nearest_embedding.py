"""The label of the training row nearest by the base's frozen embeddings: what the base knows before anything is learned."""
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import answer_of, prompt_of, timed, training_pairs
from luthier.evaluation.contestants.similarity import ranked


def make(train: Sequence[Record], embed: Callable[[Sequence[str]], np.ndarray]) -> Contestant:
    """By cosine of embeddings [N, D]."""
    started = perf_counter()
    prompts, labels = zip(*training_pairs(train))
    train_TD = unit_length(embed(prompts))

    def answer(records):
        rows = ranked(unit_length(embed([prompt_of(record) for record in records])), train_TD, 1)[:, 0]
        return [answer_of(record, labels[row]) for record, row in zip(records, rows)]

    return Contestant("nearest_embedding", timed(answer), f"{len(prompts):,} training rows", perf_counter() - started)


def unit_length(vectors_ND: np.ndarray) -> np.ndarray:
    """Every line at length 1; a line of zeros stays."""
    vectors_ND = np.asarray(vectors_ND, dtype=np.float32)
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
