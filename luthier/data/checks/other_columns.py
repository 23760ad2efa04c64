"""D406, D407, D316: what the columns that no record is made of say: dates that run backwards over the split, sources that stand on both sides of it, labels that a source gives away.

The records no longer hold these columns, so the sources are read once more, only those columns, and only where their first rows show a date, a name that
groups rows, or a place that rows come from.
"""
import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from luthier.data.checks.people import FEWEST, labels_beside
from luthier.data.seen import Found, Seen, plural
from luthier.data.sources import Row, Source
from luthier.data.split import SPLITS, hash_of

DATE_NAME = re.compile(r"(?i)(?:^|_)(?:date|time|timestamp|created|updated|day|when|at|on)(?:$|_)|date|_at$")
GROUP_NAME = re.compile(r"(?i)(?:customer|client|user|author|speaker|patient|account|document|doc|conversation|thread|session|article|product|company|writer|person|channel)(?:_?(?:id|name|no|number|key))?$|^source$")
PLACE_NAME = re.compile(r"(?i)(?:^|_)(?:source|origin|channel|platform|site|region|country|domain|dataset|annotator|labell?er|rater|device|language|lang)(?:_?(?:id|name))?$")
DATE_FORMS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")
LOOKED_AT = 200
LATE = 0.05
MOST_PLACES = 50
AT_ONCE = 4096


class OtherColumns:
    """Reads the sources of all splits once more."""

    def __init__(self, sources: Sequence[Source], used: set[str], seen: Seen):
        self.seen = seen
        first = [row for source in sources for row in itertools.islice(source.rows(), LOOKED_AT) if type(row) is Row]
        self.dates, self.groups, self.places = (choose(first, used, name, holds) for name, holds in ((DATE_NAME, is_date), (GROUP_NAME, groups_rows), (PLACE_NAME, are_places)))
        self.when, self.who, self.whence = np.full(len(seen), np.nan), np.zeros(len(seen), dtype=np.uint64), np.full(len(seen), -1, dtype=np.int16)
        self.names: dict[str, int] = {}
        if self.dates or self.groups or self.places:
            self.read(sources)

    def read(self, sources: Sequence[Source]) -> None:
        """The values of the chosen columns, for the rows that were seen."""
        key_N = np.frombuffer(self.seen.file, dtype=np.uint16).astype(np.int64) << 32 | np.frombuffer(self.seen.number, dtype=np.uint32)
        order = np.argsort(key_N)
        files = {name: at for at, name in enumerate(self.seen.file_names)}
        rows = (row for source in sources for row in source.rows() if type(row) is Row and row.file in files)
        while part := list(itertools.islice(rows, AT_ONCE)):
            keys = np.array([files[row.file] << 32 | row.number for row in part], dtype=np.int64)
            at = np.searchsorted(key_N, keys, sorter=order).clip(max=max(len(order) - 1, 0))
            for row, place in zip(itertools.compress(part, key_N[order[at]] == keys), order[at][key_N[order[at]] == keys].tolist()):
                self.take(row.values, place)

    def take(self, values: dict, place: int) -> None:
        if self.dates and (value := seconds(values.get(self.dates))) is not None:
            self.when[place] = value
        if self.groups and values.get(self.groups) not in (None, ""):
            self.who[place] = hash_of(str(values[self.groups])) or 1
        if self.places and values.get(self.places) not in (None, "") and len(self.names) < MOST_PLACES * 20:
            self.whence[place] = self.names.setdefault(str(values[self.places]), len(self.names))

    def slices(self) -> dict[str, np.ndarray]:
        """`channel: e-mail` -> its rows, where there are a few such places."""
        if not 2 <= len(self.names) <= MOST_PLACES:
            return {}
        return {f"{self.places}: {name}": np.flatnonzero(self.whence == at) for name, at in self.names.items()}

    def report(self, seen: Seen) -> Iterator[Found]:
        if self.dates:
            yield from time_travel(self.dates, self.when, seen)
        if self.groups:
            yield from both_sides(self.groups, self.who, seen)
        for name, rows_N in self.slices().items():
            if len(rows_N) >= FEWEST:
                for label, share, others, bearing in labels_beside(seen, rows_N):
                    message = f"rows of {name} bear the label `{label}` in {share:.0%} of {len(rows_N):,} cases, all others in {others:.0%}"
                    yield Found("D316", "warning", message, bearing, "a model may learn where a row comes from instead of what it says; gather both labels from both places", field=self.places)


def choose(first: list[Row], used: set[str], name: re.Pattern, holds) -> str:
    """The first unused column whose name and values fit."""
    names = dict.fromkeys(column for row in first for column in row.values if column not in used)
    for column in names:
        values = [row.values[column] for row in first[:LOOKED_AT] if row.values.get(column) not in (None, "")]
        if name.search(column) and values and holds(values):
            return column
    return ""


def is_date(values: list) -> bool:
    return sum(seconds(value) is not None for value in values) > 0.9 * len(values)


def groups_rows(values: list) -> bool:
    """Whether values come back often enough to be sources, and are many enough not to be categories."""
    distinct = len({str(value) for value in values})
    return len(values) >= 20 and 5 < distinct < 0.9 * len(values)


def are_places(values: list) -> bool:
    """Whether a few values come back again and again."""
    distinct = len({str(value) for value in values})
    return len(values) >= 20 and 2 <= distinct <= min(MOST_PLACES, len(values) / 5)


def seconds(value) -> float | None:
    """A date as seconds; ISO 8601, common written forms, and numbers that are plainly times."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if 1e8 < value < 4e9 else float(value) / 1000 if 1e11 < value < 4e12 else None
    text = str(value).strip()
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None).timestamp()
    except ValueError:
        pass
    for form in DATE_FORMS:
        try:
            return datetime.strptime(text, form).timestamp()
        except ValueError:
            continue
    return None


def time_travel(column: str, when: np.ndarray, seen: Seen) -> Iterator[Found]:
    """Training rows later than the middle of the test rows, where the file spans time at all."""
    train, test = (np.flatnonzero((seen.split_N == side) & ~np.isnan(when)) for side in (0, 2))
    if len(train) < 20 or len(test) < 20 or np.nanmax(when) - np.nanmin(when) < 86400:
        return
    late = train[when[train] > np.median(when[test])]
    if len(late) > LATE * len(train):
        day = datetime.fromtimestamp(float(np.median(when[test]))).date()
        yield Found("D406", "warning", f"{plural(len(late), 'training row')} ({len(late) / len(train):.0%}) are from after {day}, the middle of the test rows, by the column `{column}`", late, "use knows only the past: put the newest rows into a test file of their own", field=column)


def both_sides(column: str, who: np.ndarray, seen: Seen) -> Iterator[Found]:
    """Values that stand in training and in a later split."""
    train = np.unique(who[(seen.split_N == 0) & (who > 0)])
    later = np.flatnonzero((seen.split_N > 0) & (who > 0))
    shared = later[np.isin(who[later], train)]
    if len(shared) > 0.05 * max(1, len(later)):
        message = f"{plural(len(shared), 'row')} of {' and '.join(SPLITS[1:])} have a `{column}` that training has too ({len(np.unique(who[shared])):,} of {len(np.unique(who[who > 0])):,} values)"
        yield Found("D407", "warning", message, shared, f"rows of one {column} resemble each other: set data.group={column}", field=column)


