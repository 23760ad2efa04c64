"""A linear model over the look of each word and its neighbours (form, ends, capitals, digits), its tags made legal: what needs no pretrained network."""
from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np

from luthier.data.records import Tagged
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.dictionary import spans_answer
from luthier.evaluation.contestants.inputs import timed
from luthier.generation.tags import legal
from luthier.metrics.spans import chunks
from luthier.tasks.answers import Answer

PLACES = 1 << 18
PASSES = 8
MOST_WORDS = 400_000
"""Training words used at most."""


def make(train: Sequence[Tagged], seed: int = 0) -> Contestant:
    """Logistic regression by stochastic gradient, a word a row."""
    from sklearn.feature_extraction import FeatureHasher  # two seconds, paid only by who uses it
    from sklearn.linear_model import SGDClassifier

    started = perf_counter()
    hasher = FeatureHasher(PLACES, input_type="string", alternate_sign=False)
    tags = [tag for record in train for tag in record.tags][:MOST_WORDS]
    features = hasher.transform([word for record in train for word in features_of(record)][:MOST_WORDS])
    names = sorted(set(tags))
    if len(names) < 2:
        return Contestant("word_features", timed(lambda records: [spans_answer(record, []) for record in records]), "the training rows mark nothing", perf_counter() - started)
    model = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=PASSES, tol=None, random_state=seed, average=True).fit(features, tags)

    def answer(records: Sequence[Tagged]) -> list[Answer]:
        return [spans_answer(record, tagged(record)) for record in records]

    def tagged(record: Tagged) -> list:
        if not record.words:
            return []
        logprobs_WL = np.log(np.clip(model.predict_proba(hasher.transform(features_of(record))), 1e-9, 1))
        return [list(span) for span in chunks([model.classes_[index] for index in legal(logprobs_WL, [str(name) for name in model.classes_])])]

    return Contestant("word_features", timed(answer), f"learned from {len(tags):,} words", perf_counter() - started)


def features_of(record: Tagged) -> Iterator[list[str]]:
    """The features of every word."""
    words = [record.text[start:end] for start, end in record.words]
    looks = [(word.lower(), shape(word)) for word in words]
    edge = ("", "")
    for at, (low, form) in enumerate(looks):
        before, after = looks[at - 1] if at else edge, looks[at + 1] if at + 1 < len(words) else edge
        yield [
            "bias", f"w={low}", f"s={form}", *(f"e{size}={low[-size:]}" for size in (2, 3, 4)), *(f"b{size}={low[:size]}" for size in (2, 3)),
            f"-1={before[0]}", f"+1={after[0]}", f"-1s={before[1]}", f"+1s={after[1]}", f"-1w={before[0]}|{low}", f"sss={before[1]}|{form}|{after[1]}", f"first={at == 0}",
        ]


def shape(word: str) -> str:
    """Capitals, small letters and digits of a word, runs shortened to two."""
    signs = ["X" if sign.isupper() else "x" if sign.islower() else "9" if sign.isdigit() else sign for sign in word[:20]]
    return "".join(sign for at, sign in enumerate(signs) if signs[max(0, at - 2) : at] != [sign, sign])
