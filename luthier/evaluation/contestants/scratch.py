"""The same architecture from a random start, trained on the same rows for as long: what pre-training was worth."""
from collections.abc import Callable, Sequence
from time import perf_counter

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.tasks.answers import Answer


def make(scratch: Callable[[], Callable[[Sequence[Record], None], list[Answer]]]) -> Contestant:
    """Around a function that trains such a network and returns its `respond(records, shots)`."""
    started = perf_counter()
    respond = scratch()
    return Contestant("scratch", timed(lambda records: respond(records, None)), "every weight from a random start, same rows and steps", perf_counter() - started)
