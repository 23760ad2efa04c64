"""A rule by length alone: always the longer answer of a pair, or always the shorter, whichever the training pairs say. A model must beat it to have learned more."""
from collections.abc import Sequence

from luthier.data.records import Preference
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.tasks.answers import Answer


def make(train: Sequence[Preference]) -> Contestant:
    """The rule that is right more often on the training pairs."""
    sign = 1 if sum((len(pair.chosen) > len(pair.rejected)) - (len(pair.chosen) < len(pair.rejected)) for pair in train) >= 0 else -1

    def answer(pair: Preference) -> Answer:
        difference = sign * (len(pair.chosen) - len(pair.rejected))
        label = "chosen" if difference > 0 else "rejected" if difference < 0 else "neither"
        return Answer({"chosen": pair.chosen, "rejected": pair.rejected}.get(label, ""), label=label)

    return Contestant("length", timed(lambda records: [answer(pair) for pair in records]), f"always the {'longer' if sign > 0 else 'shorter'} answer")
