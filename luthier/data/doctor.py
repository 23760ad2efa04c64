"""The doctor: one pass over a built data set with every check, and then the checks that compare rows with each other.

Rows stream by in batches; what is kept is some 50 bytes a row and an even sample of at most 50,000 rows. What is larger (the index of near duplicates)
lies on disk and is removed afterwards.
"""
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from luthier.data.canonical import body_of
from luthier.data.checks import SAMPLE_CHECKS, STREAM_CHECKS, topics
from luthier.data.checks.benchmark import Benchmark
from luthier.data.checks.near_duplicates import NearDuplicates
from luthier.data.checks.other_columns import OtherColumns
from luthier.data.checks.private_things import PrivateThings
from luthier.data.dataset import DataSet
from luthier.data.facets import FACETS, batches, texts_in
from luthier.data.findings import Finding, ordered
from luthier.data.private import Names
from luthier.data.sample import Embed, Sample
from luthier.data.seen import Found, Seen
from luthier.data.sources import Row, Source, read
from luthier.data.spellings import convert, guess
from luthier.data.split import SPLITS
from luthier.errors import DataError
from luthier.runs.events import Event, Say, silent

SLICED = ("languages", "dialects", "other columns")
"""Checks, beside `people`, whose groups of rows are kept for evaluation."""
MEASURED_ANEW = {"D501"}
"""Codes that a build reports row by row and the doctor counts whole."""


@dataclass
class Examined:
    """What the doctor found."""

    found: list[Found]
    seen: Seen
    groups: dict[str, np.ndarray]
    """Group of people, language, variety, place they come from -> its rows (places among all rows seen)."""
    figures: dict
    """languages, distinct phrases, seconds, rows."""
    passed: list[str] = field(default_factory=list)
    """Names of the checks that found nothing."""
    people: list[str] = field(default_factory=list)
    """Those of the groups that are groups of people."""

    @property
    def slices(self) -> dict[str, list[dict]]:
        """Where the rows of each group stand, as slices.json holds them: {file, row, split}."""
        return {name: placed(rows_N, self.seen) for name, rows_N in self.groups.items()}

    def findings(self) -> list[Finding]:
        return ordered(one.finding(self.seen) for one in self.found)

    def with_fix(self, name: str) -> list[Found]:
        return [one for one in self.found if one.fix == name]

    def complete(self) -> list[dict]:
        """Every finding with all of its rows, for check.json."""
        return [complete(one, self.seen) for one in self.found]


def complete(found: Found, seen: Seen) -> dict:
    """A finding with all its rows by file, their reasons and groups."""
    shape = found.finding(seen).to_dict()
    by_file: dict[str, list[int]] = {}
    for row in found.rows_N.tolist():
        by_file.setdefault(seen.file_names[seen.file[row]], []).append(seen.number[row])
    shape["all_rows"] = by_file
    shape["fix"] = found.fix or None
    shape["groups"] = [[{"file": seen.file_names[seen.file[row]], "row": seen.number[row]} for row in group] for group in found.groups]
    return shape


def examine(
    data: DataSet, *, only: Iterable[str] | None = None, sources: Sequence[Source] = (), against: str | None = None, traffic: str | None = None, embed: Embed | None = None,
    names: Names | None = None, say: Say = silent,
) -> Examined:
    """Look at every row of a built data set.

    `only` names the checks to run (all without); `sources`, where the rows come from, let the columns beside the records be looked at; `against` is a
    benchmark file, `traffic` one of what is asked in use; `embed` gives vectors for texts in the place of word counts; `names` finds names and places.
    """
    began = time.perf_counter()
    chosen = set(only) if only is not None else None
    wanted = lambda name: chosen is None or name in chosen
    with tempfile.TemporaryDirectory(prefix="luthier-doctor-") as place:
        seen = Seen(Path(place), data.record)
        checks = {name: make() for name, make in STREAM_CHECKS.items() if wanted(name)}
        if "private" in checks:
            checks["private"] = PrivateThings(names)
        if wanted("near duplicates"):
            checks["near duplicates"] = NearDuplicates(Path(place))
        if against is not None:
            checks["benchmark"] = Benchmark(against, benchmark_texts(against))
        sample = Sample(with_texts=embed is not None) if any(map(wanted, SAMPLE_CHECKS)) else None
        stream(data, [*checks.values(), *([sample] if sample else [])], seen, say)
        reports: dict[str, Callable[[], Iterator[Found]]] = {name: (lambda check=check: check.report(seen)) for name, check in checks.items()}
        streamed = time.perf_counter() - began
        if sample is not None:
            sample.close()
            reports |= {name: (lambda check=check: check(sample, seen, embed)) for name, check in SAMPLE_CHECKS.items() if wanted(name)}
            if traffic is not None:
                reports["traffic"] = lambda: topics.in_use(sample, seen, traffic, asked_in(traffic), embed)
        if sources and wanted("other columns"):
            checks["other columns"] = OtherColumns(sources, used_columns(data), seen)
            reports["other columns"] = lambda: checks["other columns"].report(seen)
        found, passed = run(reports, say)
    figures = {"rows": len(seen), "streamed_seconds": round(streamed, 3), "seconds": round(time.perf_counter() - began, 3)}
    if "languages" in checks:
        figures["languages"] = checks["languages"].shares()
    if "diversity" in checks:
        figures["distinct_phrases"] = round(float(checks["diversity"].distinct()), 4)
    people = checks["people"].slices() if "people" in checks else {}
    groups = people | {name: rows_N for key in SLICED if key in checks for name, rows_N in checks[key].slices().items()}
    return Examined(found, seen, groups, figures, passed, list(people))


def run(reports: dict[str, Callable[[], Iterator[Found]]], say: Say) -> tuple[list[Found], list[str]]:
    """What every check found, and the names of those that found nothing to warn of."""
    found, passed = [], []
    for name, report in reports.items():
        say(Event("progress", f"checking: {name}", {"task": "check", "done": len(found), "total": None, "unit": "findings"}))
        new = list(report())
        found += new
        passed += [name] if not any(one.level != "info" for one in new) else []
    return found, passed


def placed(rows_N: np.ndarray, seen: Seen) -> list[dict]:
    """Where rows stand."""
    return [{"file": seen.file_names[seen.file[row]], "row": seen.number[row], "split": SPLITS[seen.split[row]]} for row in rows_N.tolist()]


def used_columns(data: DataSet) -> set[str]:
    """The columns that records are made of."""
    mapping = data.mapping or {}
    return {*mapping.get("columns", {}).values(), mapping.get("group"), mapping.get("weight")}


def asked_in(name: str) -> list[str]:
    """What is asked in the rows of a file, whatever kind of record they are; every text where the columns say nothing."""
    rows = [row for row in itertools.islice(read(name), topics.MOST_TEXTS) if isinstance(row, Row)]
    try:
        mapping = guess(rows, name)
    except DataError:
        return [text for row in rows for text in texts_in(row.values)]
    records = [record for row in rows if not isinstance(record := convert(row, mapping), Finding)]
    return [FACETS[type(record)](body_of(record)).segments[0] for record in records]


def benchmark_texts(name: str) -> Iterator[str]:
    """Every text of a benchmark file, whatever its columns."""
    for row in read(name):
        if isinstance(row, Row):
            yield from texts_in(row.values)


def stream(data: DataSet, checks: list, seen: Seen, say: Say) -> None:
    """Show every batch of every split to every check."""
    told = time.monotonic()
    for side, split in enumerate(SPLITS):
        for batch in batches(lines(data.folder / f"{split}.jsonl"), data.record, first=len(seen), split=side):
            seen.add(batch)
            for check in checks:
                check.see(batch)
            if time.monotonic() - told > 0.5:
                told = time.monotonic()
                say(Event("progress", "checking rows", {"task": "rows checked", "done": len(seen), "total": None, "unit": "rows"}))


def lines(path: Path) -> Iterator[dict]:
    """Canonical rows as they stand on disk."""
    with open(path, "rb", buffering=1 << 20) as stream:
        yield from map(json.loads, stream)


def all_rows(found: Iterable[Found]) -> np.ndarray:
    """The rows of several findings, each once."""
    parts = [one.rows_N for one in found]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)
