"""Ridge regression on TF-IDF of words and letters: the classic that tuning must beat where the answer is a number."""
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from luthier.data.records import Scored, both_texts
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.evaluation.contestants.linear import chosen, note_of
from luthier.evaluation.contestants.similarity import TextVectors
from luthier.tasks.regression import number_answer

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
MOST = 4000
"""Training rows used at most: choosing the strength takes the square of their number."""


def make(train: Sequence[Scored], seed: int = 0) -> Contestant:
    """The strength of the penalty is chosen by leaving one training row out."""
    from sklearn.linear_model import RidgeCV  # two seconds, paid only by who uses it

    started = perf_counter()
    rows = [train[row] for row in chosen(len(train), seed)][:MOST]
    vectors = TextVectors([both_texts(record) for record in rows])
    model = RidgeCV(STRENGTHS).fit(vectors.train_NV, np.array([record.value for record in rows]))
    answer = timed(lambda records: [number_answer(float(value)) for value in model.predict(vectors([both_texts(record) for record in records]))])
    return Contestant("ridge", answer, note_of(len(rows)), perf_counter() - started)
