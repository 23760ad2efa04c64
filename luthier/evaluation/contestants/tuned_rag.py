"""The tuned model with passages in its prompt: what was learned and what can be looked up, together."""
from collections.abc import Callable, Sequence

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.rag import Search, retrieving
from luthier.tasks.answers import Answer


def make(tuned: Callable[[Sequence[Record], None], list[Answer]], search: Search, lengths: Callable[[Sequence[Record]], Sequence[int]], room: int) -> Contestant:
    """Around `respond(records, shots)`, as `rag` is around the base."""
    return retrieving("tuned_rag", tuned, "the tuned model", search, lengths, room)
