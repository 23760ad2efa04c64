"""The spans that training rows have marked, looked up: the longest stretch of words that was a span at least as often as not gets its most frequent type."""
from collections import Counter, defaultdict
from collections.abc import Sequence
from time import perf_counter

from luthier.data.records import Span, Tagged
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.metrics.spans import chunks
from luthier.tasks.answers import Answer
from luthier.tasks.token_classification import written


def make(train: Sequence[Tagged]) -> Contestant:
    """From the spans of the training rows."""
    started = perf_counter()
    kinds: dict[tuple[str, ...], Counter] = defaultdict(Counter)
    for record in train:
        words = lowered(record)
        for first, last, kind in chunks(record.tags):
            kinds[tuple(words[first:last])][kind] += 1
    longest = max(map(len, kinds), default=0)
    seen = occurrences(train, kinds, longest)
    known = {entry: counts.most_common(1)[0][0] for entry, counts in kinds.items() if 2 * sum(counts.values()) >= seen[entry]}
    return Contestant("dictionary", timed(lambda records: [look_up(record, known, longest) for record in records]), f"{len(known):,} entries", perf_counter() - started)


def lowered(record: Tagged) -> list[str]:
    return [record.text[start:end].lower() for start, end in record.words]


def occurrences(train: Sequence[Tagged], entries, longest: int) -> Counter:
    """How often the words of each entry stand in the training rows at all."""
    found: Counter = Counter()
    for record in train:
        words = lowered(record)
        for first in range(len(words)):
            for last in range(first + 1, min(len(words), first + longest) + 1):
                if (entry := tuple(words[first:last])) in entries:
                    found[entry] += 1
    return found


def look_up(record: Tagged, known: dict, longest: int) -> Answer:
    """From left to right, the longest entry first."""
    words, at, spans = lowered(record), 0, []
    while at < len(words):
        last = next((last for last in range(min(len(words), at + longest), at, -1) if tuple(words[at:last]) in known), None)
        if last is not None:
            spans.append([at, last, known[tuple(words[at:last])]])
        at = last or at + 1
    return spans_answer(record, spans)


def spans_answer(record: Tagged, spans: list) -> Answer:
    """An answer of spans over words."""
    return Answer(written(record.text, [Span(record.words[first][0], record.words[last - 1][1], kind) for first, last, kind, *_ in spans]), spans=spans)
