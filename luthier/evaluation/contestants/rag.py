"""The base with passages in its prompt that fit the question: retrieval-augmented generation (Lewis et al. 2020, arXiv:2005.11401)."""
from collections.abc import Callable, Sequence
from time import perf_counter

from luthier.data.records import Record
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.context import with_passages
from luthier.evaluation.contestants.inputs import prompt_of, timed
from luthier.tasks.answers import Answer

Search = Callable[[Sequence[str]], list[list[str]]]
"""From questions to the texts of their passages, best first."""


def make(base: Callable[[Sequence[Record], None], list[Answer]], search: Search, lengths: Callable[[Sequence[Record]], Sequence[int]], room: int) -> Contestant:
    """Around `respond(records, shots)`, each record led by what `search` finds for its question, as far as it fits."""
    return retrieving("rag", base, "the base", search, lengths, room)


def retrieving(name: str, respond, who: str, search: Search, lengths, room: int) -> Contestant:
    """A model that is asked with passages; the time to find them counts, and how many fitted is told."""
    told: list[str] = []

    def answer(records: Sequence[Record]) -> list[Answer]:
        began = perf_counter()
        asked, counts = with_passages(records, search([prompt_of(record) for record in records]), lengths, room)
        finding = (perf_counter() - began) / max(1, len(records))
        told[:] = [f"{sum(counts) / max(1, len(counts)):.1f} passages a question"]
        found = timed(lambda rows: respond(rows, None))(asked)
        for item in found:
            item.seconds += finding
        return found

    return Contestant(name, answer, f"{who}, with passages found for each question in its prompt", told=told)
