"""The answer that needs no model: the most frequent one in training, or the most typical where no answer comes twice."""
from collections import Counter
from collections.abc import Sequence

import numpy as np

from luthier.data.records import Labelled, MultiLabelled, Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import answer_of, timed, training_pairs
from luthier.evaluation.contestants.similarity import TextVectors


def make(train: Sequence[Record]) -> Contestant:
    """Everyone gets one answer; labels come with their shares in training as probabilities."""
    texts = [answer.strip() for _, answer in training_pairs(train)]
    counts = Counter(texts)
    text, times = min(counts.items(), key=lambda item: (-item[1], item[0]))
    note = f"{times:,} of {len(texts):,} training answers"
    if times == 1 and len(texts) > 1 and not isinstance(train[0], Labelled | MultiLabelled):
        text, note = most_typical(sorted(counts)), "the training answer most like all others"
    shares = {label: count / len(texts) for label, count in sorted(counts.items())} if isinstance(train[0], Labelled) else None
    return Contestant("majority", timed(lambda records: [answer_of(record, text, shares) for record in records]), note)


def most_typical(texts: list[str]) -> str:
    """The text nearest to the mean of all, by TF-IDF."""
    texts = [text for text in texts if text] or [""]
    if len(texts) == 1:
        return texts[0]
    vectors_NV = TextVectors(texts).train_NV
    return texts[int(np.asarray(vectors_NV @ vectors_NV.mean(axis=0).T).ravel().argmax())]
