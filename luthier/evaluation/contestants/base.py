"""The base as it came, asked without an example."""
from collections.abc import Callable, Sequence

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.tasks.answers import Answer


def make(base: Callable[[Sequence[Record], None], list[Answer]]) -> Contestant:
    """Around `respond(records, shots)`, without shots."""
    return Contestant("base", timed(lambda records: base(records, None)))
