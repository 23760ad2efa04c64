"""A hosted model behind an OpenAI-compatible address, asked the same questions: what one could buy instead."""
from collections.abc import Callable, Sequence

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.tasks.answers import Answer


def make(endpoint: Callable[[Sequence[Record], None], list[Answer]]) -> Contestant:
    """Around `respond(records, shots)` of that address."""
    return Contestant("endpoint", timed(lambda records: endpoint(records, None)), "a hosted model, asked without an example")
