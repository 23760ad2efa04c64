"""The classic that tuning must beat: TF-IDF of words and letters, then logistic regression."""
from collections.abc import Sequence
from time import perf_counter

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import prompt_of, timed, training_pairs
from luthier.evaluation.contestants.linear import LinearClassifier, chosen, note_of
from luthier.evaluation.contestants.similarity import TextVectors

STRENGTH = 30.0
"""Inverse of the regularisation: short texts in unit-length vectors want little of it."""


def make(train: Sequence[Record], seed: int = 0) -> Contestant:
    """Fitted on the training rows' texts."""
    started = perf_counter()
    pairs = training_pairs(train)
    texts, labels = zip(*(pairs[row] for row in chosen(len(pairs), seed)))
    vectors = TextVectors(texts)
    model = LinearClassifier(vectors.train_NV, labels, strength=STRENGTH)
    answer = timed(lambda records: model.answers(vectors([prompt_of(record) for record in records])))
    return Contestant("tfidf", answer, note_of(len(pairs)), perf_counter() - started)
