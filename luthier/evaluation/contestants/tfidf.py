"""The classic that tuning must beat: TF-IDF of words and letters, then logistic regression."""
from collections.abc import Sequence
from time import perf_counter

from luthier.data.records import JOINT, MultiLabelled, Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import prompt_of, timed, training_pairs
from luthier.evaluation.contestants.linear import LinearClassifier, chosen, note_of
from luthier.evaluation.contestants.similarity import TextVectors
from luthier.tasks.answers import Answer

STRENGTH = 30.0
"""Inverse of the regularisation: short texts in unit-length vectors want little of it."""


def make(train: Sequence[Record], seed: int = 0) -> Contestant:
    """Fitted on the training rows' texts."""
    started = perf_counter()
    if isinstance(train[0], MultiLabelled):
        return several(train, seed, started)
    pairs = training_pairs(train)
    texts, labels = zip(*(pairs[row] for row in chosen(len(pairs), seed)))
    vectors = TextVectors(texts)
    model = LinearClassifier(vectors.train_NV, labels, strength=STRENGTH)
    answer = timed(lambda records: model.answers(vectors([prompt_of(record) for record in records])))
    return Contestant("tfidf", answer, note_of(len(pairs)), perf_counter() - started)


def several(train: Sequence[MultiLabelled], seed: int, started: float) -> Contestant:
    """One linear model a label, each says whether it applies."""
    rows = [train[row] for row in chosen(len(train), seed)]
    vectors = TextVectors([prompt_of(record) for record in rows])
    labels = sorted({label for record in rows for label in record.labels})
    models = {label: LinearClassifier(vectors.train_NV, ["yes" if label in record.labels else "no" for record in rows], strength=STRENGTH) for label in labels}

    def answer(records):
        found = vectors([prompt_of(record) for record in records])
        said = {label: [each.label == "yes" for each in model.answers(found)] for label, model in models.items()}
        texts = [JOINT.join(label for label in labels if said[label][at]) for at in range(len(records))]
        return [Answer(text or "none", label=text) for text in texts]

    return Contestant("tfidf", timed(answer), note_of(len(train)), perf_counter() - started)
