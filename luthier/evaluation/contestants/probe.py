"""A linear probe (Alain and Bengio 2016): how much of the labels the base's frozen embeddings already hold."""
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import prompt_of, timed, training_pairs
from luthier.evaluation.contestants.linear import LinearClassifier, chosen, note_of


def make(train: Sequence[Record], embed: Callable[[Sequence[str]], np.ndarray], seed: int = 0) -> Contestant:
    """Logistic regression on standardised embeddings [N, D] of the training texts."""
    from sklearn.preprocessing import StandardScaler  # two seconds, paid only by who uses it

    started = perf_counter()
    pairs = training_pairs(train)
    texts, labels = zip(*(pairs[row] for row in chosen(len(pairs), seed)))
    scaler = StandardScaler()
    model = LinearClassifier(scaler.fit_transform(np.asarray(embed(texts), dtype=np.float64)), labels, strength=1.0)

    def answer(records):
        return model.answers(scaler.transform(np.asarray(embed([prompt_of(record) for record in records]), dtype=np.float64)))

    return Contestant("probe", timed(answer), note_of(len(pairs)), perf_counter() - started)
