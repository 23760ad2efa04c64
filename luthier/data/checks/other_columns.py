"""D406, D407: what the columns that no record is made of say about the split: dates that run backwards, sources that stand on both sides.

The records no longer hold these columns, so the sources are read once more, only those columns, and only where their first rows show a date or a name that
groups rows.
"""
import re
from collections.abc import Iterator
from datetime import datetime

import numpy as np

from luthier.data.seen import Found, Seen, plural
from luthier.data.sources import Row
from luthier.data.split import SPLITS, hash_of

DATE_NAME = re.compile(r"(?i)(?:^|_)(?:date|time|timestamp|created|updated|day|when|at|on)(?:$|_)|date|_at$")
GROUP_NAME = re.compile(r"(?i)(?:customer|client|user|author|speaker|patient|account|document|doc|conversation|thread|session|article|product|company|writer|person|channel)(?:_?(?:id|name|no|number|key))?$|^source$")
DATE_FORMS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")
LOOKED_AT = 200
LATE = 0.05
MOST_GROUPS_SHARE = 0.5


def check(first: list[Row], rows: Iterator, used: set[str], seen: Seen) -> Iterator[Found]:
    """Warnings. `first` are the first rows of the source, `rows` all of them again, `used` the columns that records are made of."""
    dates, groups = (choose(first, used, name, holds) for name, holds in ((DATE_NAME, is_date), (GROUP_NAME, groups_rows)))
    if not dates and not groups:
        return
    place = {(seen.file_names[file], number): at for at, (file, number) in enumerate(zip(seen.file, seen.number))}
    when, who = np.full(len(seen), np.nan), np.zeros(len(seen), dtype=np.uint64)
    for row in rows:
        at = place.get((row.file, row.number)) if type(row) is Row else None
        if at is None:
            continue
        if dates and (value := seconds(row.values.get(dates))) is not None:
            when[at] = value
        if groups and row.values.get(groups) not in (None, ""):
            who[at] = hash_of(str(row.values[groups])) or 1
    if dates:
        yield from time_travel(dates, when, seen)
    if groups:
        yield from both_sides(groups, who, seen)


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


