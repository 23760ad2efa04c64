"""The tuned model, asked just as the base is."""
from collections.abc import Callable, Sequence

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.tasks.answers import Answer


def make(tuned: Callable[[Sequence[Record], None], list[Answer]]) -> Contestant:
    """Around `respond(records, shots)`, without shots."""
    return Contestant("tuned", timed(lambda records: tuned(records, None)))
