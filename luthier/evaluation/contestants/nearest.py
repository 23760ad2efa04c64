"""The answer of the most similar training row: what looking it up would give (Cover and Hart 1967)."""
from collections.abc import Sequence
from time import perf_counter

from luthier.data.records import Record, Scored, both_texts
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import answer_of, prompt_of, timed, training_pairs
from luthier.evaluation.contestants.similarity import TextVectors
from luthier.tasks.regression import number_answer


def make(train: Sequence[Record]) -> Contestant:
    """By cosine of TF-IDF over the training prompts."""
    started = perf_counter()
    if isinstance(train[0], Scored):
        return of_numbers(train, started)
    prompts, answers = zip(*training_pairs(train))
    vectors = TextVectors(prompts)

    def answer(records):
        rows = vectors.most_similar([prompt_of(record) for record in records], 1)[:, 0]
        return [answer_of(record, answers[row]) for record, row in zip(records, rows)]

    return Contestant("nearest", timed(answer), f"{len(prompts):,} training prompts", perf_counter() - started)


def of_numbers(train: Sequence[Scored], started: float) -> Contestant:
    """The number of the most similar training row."""
    vectors = TextVectors([both_texts(record) for record in train])

    def answer(records):
        rows = vectors.most_similar([both_texts(record) for record in records], 1)[:, 0]
        return [number_answer(train[row].value) for row in rows]

    return Contestant("nearest", timed(answer), f"{len(train):,} training rows", perf_counter() - started)
