"""Repair into a new file: the source is read and never written; a patch says of every row what was done and why.

Rounds are made until nothing is left to do: check, plan, write, check what was written. The patch names rows by their number in the source, whatever the round.
"""
import json
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from luthier.data import doctor, sources, targets
from luthier.data.checks.overlap import REASON as OVERLAP
from luthier.data.dataset import DataSet, build
from luthier.data.doctor import Examined
from luthier.data.findings import Finding
from luthier.data.fixes import FIXES, LAST, PLAIN, Change, LeaveOut, Relabel, judged
from luthier.data.records import MultiLabelled
from luthier.data.seen import Seen
from luthier.data.settings import DataSettings
from luthier.data.sources import Row, Source, folder
from luthier.errors import RecipeError
from luthier.files import replacing, sha256_file
from luthier.runs.events import Event, Say, silent

MOST_ROUNDS = 12
SHOWN = 2000
"""Characters of a text in the patch."""


@dataclass
class Options:
    """How fixes are made."""

    pii: str = "mask"
    pseudonyms: object = None
    balance: str = "resample"
    against: str | None = None
    names: Callable | None = None
    """What finds names and places, `data.private.Names`."""


@dataclass
class Plan:
    """What to do with rows, by record number."""

    leave: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Number -> (fix, why)."""
    labels: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    """Number -> (fix, new label, why)."""
    changes: dict[str, Callable[[str], str]] = field(default_factory=dict)
    """Fix -> function over texts."""
    columns: set[str] = field(default_factory=set)
    label_column: str = ""
    weights: dict[int, float] = field(default_factory=dict)
    """Number -> how much the row is to count; all others 1."""
    weight_column: str = ""
    """Where weights are written; empty: nowhere."""
    swapped: Callable[[str], str] | None = None
    """Text -> its counterfactual, for rows that are added."""


@dataclass
class Mended:
    """What a repair did."""

    file: str | None
    """The new file; None where nothing was to be done."""
    patch: str | None
    rows_in: int
    rows_out: int
    done: dict[str, int]
    """Fix -> rows."""
    rounds: int
    source_sha256: str
    more: dict = field(default_factory=dict)

    def to_dict(self) -> dict:
        return {"file": self.file, "patch": self.patch, "rows_in": self.rows_in, "rows_out": self.rows_out, "done": self.done, "rounds": self.rounds, "source_sha256": self.source_sha256, **self.more}


def chosen(words: str) -> list[str]:
    """The fixes that a comma-separated list names: `plain`, `all`, or names; RecipeError R144 for another word."""
    from luthier.data.fixes import ALL, BALANCE

    names: list[str] = []
    for word in [one.strip() for one in words.split(",") if one.strip()] or ["plain"]:
        if word not in ("plain", "all", BALANCE) and word not in FIXES:
            from difflib import get_close_matches

            near = get_close_matches(word, [*FIXES, BALANCE, "all"], n=1)
            raise RecipeError(f"there is no fix `{word}`", code="R144", hint=f"did you mean `{near[0]}`?" if near else f"fixes: {', '.join([*FIXES, BALANCE, 'all'])}")
        names += PLAIN if word == "plain" else ALL if word == "all" else [word]
    return list(dict.fromkeys(names))


def names_of(source: Source, output: Path | None = None) -> tuple[Path, Path]:
    """The new file and its patch beside the source: tickets.csv -> tickets.fixed.csv, tickets.patch.jsonl."""
    path = source.paths[0] if len(source.paths) == 1 else Path(source.name.replace("/", "-") if source.split is not None else source.name.rstrip("/") + ".jsonl")
    suffix = folder.format_suffix(path)
    stem = path.name.removesuffix(".gz").removesuffix(suffix)
    suffix = suffix if suffix in targets.TARGETS and suffix not in (".txt", ".conll", ".arrow") else ".jsonl"
    fixed = output or path.with_name(f"{stem}.fixed{suffix}")
    return fixed, fixed.with_name(f"{fixed.name.removesuffix(folder.format_suffix(fixed)).removesuffix('.fixed')}.patch.jsonl")


def mend(settings: DataSettings, fixes: Iterable[str], *, task: str | None, record: type | None, options: Options | None = None, output: Path | None = None, extra: Callable | None = None, identity=None, rounds: int = MOST_ROUNDS, say: Say = silent) -> Mended:
    """Repair the training source of `settings` with the named fixes. `extra(plan, data, examined)` may plan more in the judged round (balance, a review)."""
    # private things first, so that nothing of them stands in what the patch shows of later changes
    fixes, options = sorted(fixes, key=lambda name: name != "pii"), options or Options()
    source = sources.locate(settings.train)["train"]
    before = source.fingerprint()
    fixed, patch = names_of(source, output)
    done_before = history(source, before)
    patches: list[dict] = []
    with tempfile.TemporaryDirectory(prefix="luthier-fix-") as place:
        current, origin = source, None
        plain = [name for name in fixes if not judged(name)]
        # what is plain comes first, until nothing of it is left; then what is judged, once; then what is plain again
        due = [name for name in fixes if judged(name) and name not in done_before] + (["balance"] if "balance" in fixes and "balance" not in done_before else []) + (["review"] if rounds == 1 else [])
        number, judging, made = -1, not plain, None
        while (number := number + 1) < rounds:
            now = [name for name in plain if name != LAST or not due] + (due if judging else [])
            kind = {"identity": identity} if identity else {}
            data = build(replace(settings, train=str(current.paths[0]) if number else settings.train, on_bad_row="skip"), task=task, record=record, folder=Path(place) / f"data{number}", strict=False, say=silent, **kind)
            examined = doctor.examine(data, only=checks_of(now, data), against=options.against if "benchmark" in now else None, say=silent)
            plan = planned(now, data, examined, current, options)
            if extra is not None and judging and due:
                extra(plan, data, examined)
            say(Event("note", f"round {number + 1}: {len(plan.leave):,} rows to leave out, {len(plan.labels):,} labels to rewrite"))
            target = Path(place) / f"round{number}{folder.format_suffix(fixed)}"
            made = Round(plan, origin)
            targets.write(target, made.rows(current), like=source.paths[0] if source.paths else None)
            current, origin = Source(str(target), (target,)), made.origin
            patches += made.patch
            due, settled = [] if judging else due, not made.patch
            if settled and not due and (LAST in now or LAST not in plain):
                break
            judging = settled and bool(due)
        actions = Counter(one["action"] for one in patches)
        rows_in, rows_out = len(made.origin) + actions["leave out"] - actions["add"], len(made.origin)
        if patches:
            with replacing(fixed) as stream, open(current.paths[0], "rb") as whole:
                while block := whole.read(1 << 20):
                    stream.write(block)
    after = source.fingerprint()
    if after != before:
        raise RecipeError(f"{source.name} changed while it was repaired", code="D109", file=source.name, hint="run again when nothing writes to it")
    done = Counter(one["fix"] for one in patches)
    if patches:
        write_patch(patch, {"source": source.name, "source_sha256": before, "result": str(fixed), "result_sha256": sha256_file(fixed), "fixes": sorted({*fixes, *done_before}), "rows_in": rows_in, "rows_out": rows_out, "done": dict(done)}, patches)
    return Mended(str(fixed) if patches else None, str(patch) if patches else None, rows_in, rows_out, dict(done), min(number + 1, rounds), before)


def history(source: Source, fingerprint: str) -> set[str]:
    """The fixes that made this very file, as the patch beside it tells; only judged ones matter."""
    if len(source.paths) != 1:
        return set()
    path = source.paths[0]
    stem = path.name.removesuffix(folder.format_suffix(path)).removesuffix(".fixed")
    beside = path.with_name(f"{stem}.patch.jsonl")
    if not beside.exists():
        return set()
    with open(beside, encoding="utf-8") as stream:
        try:
            head = json.loads(stream.readline() or "{}")
        except ValueError:
            return set()
    return set(head.get("fixes", ())) if isinstance(head, dict) and head.get("result_sha256") == sha256_file(path) else set()


def checks_of(fixes: Iterable[str], data: DataSet) -> list[str]:
    """The checks that these fixes need."""
    needs = {
        "near_duplicates": "near duplicates", "leakage": "near duplicates", "cut": "answers", "placeholders": "answers", "echoes": "answers", "refusals": "answers", "conflicts": "answers",
        "repeats": "turns", "tool_calls": "turns", "injections": "characters", "languages": "languages", "label_errors": "suspected labels", "relabel": "suspected labels", "unfit": "unfit answers", "poison": "poison",
        "label_names": "label names", "balance": "people",
    }
    return sorted({needs[name] for name in fixes if name in needs})


def planned(fixes: list[str], data: DataSet, examined: Examined, source: Source, options: Options) -> Plan:
    """What these fixes do to the rows of the source."""
    seen, plan = examined.seen, Plan()
    columns = (data.mapping or {}).get("columns", {})
    plan.columns, plan.label_column = set(columns.values()), columns.get("label", "")
    mine = {at for at, name in enumerate(seen.file_names) if name in {source.name, *map(str, source.paths)}}
    for name in fixes:
        fix = FIXES.get(name)
        if isinstance(fix, Change):
            plan.changes[name] = fix.make(options)
        elif isinstance(fix, LeaveOut):
            for row, why in left(name, fix, data, examined):
                if row is None or isinstance(row, int):
                    plan.leave.setdefault(row, (name, why))
                elif seen.file[row[0]] in mine:
                    plan.leave.setdefault(seen.number[row[0]], (name, why))
        elif isinstance(fix, Relabel):
            for row, label, why in relabelled(name, fix, examined):
                if seen.file[row] in mine:
                    plan.labels.setdefault(seen.number[row], (name, label, why))
    return plan


def left(name: str, fix: LeaveOut, data: DataSet, examined: Examined) -> Iterator[tuple]:
    """Rows to leave out: a record number, or (place among the rows seen,), with the reason."""
    if name in ("unreadable", "leakage"):
        with open(data.folder / "rejected.jsonl", encoding="utf-8") as stream:
            for line in stream:
                entry = json.loads(line)
                if entry["row"] and (entry["reason"] == OVERLAP) == (name == "leakage"):
                    yield entry["row"], f"{entry['code']}: {entry['message']}"
    if name == "duplicates":
        yield from (((row,), f"the same as {examined.seen.where(first)}") for row, first in copies(examined.seen))
    if name == "conflicts":
        yield from (((row,), "one input bears different labels") for row in label_conflicts(examined.seen))
    for found in examined.found:
        if found.code in fix.codes and found.level != "info" and found.fix == name:
            for row in found.rows_N.tolist():
                yield (row,), f"{found.code}: {found.why.get(row, fix.words)}"


def copies(seen: Seen) -> Iterator[tuple[int, int]]:
    """Rows whose words, label and all, stand in an earlier row of the same file, with that row."""
    number_N = np.frombuffer(seen.number, dtype=np.uint32)
    order = np.lexsort((number_N, seen.file, seen.label_N, seen.answer_N, seen.input_N))
    same = (seen.input_N[order][1:] == seen.input_N[order][:-1]) & (seen.answer_N[order][1:] == seen.answer_N[order][:-1]) & (seen.label_N[order][1:] == seen.label_N[order][:-1])
    same &= (seen.input_N[order][1:] != 0) | (seen.answer_N[order][1:] != 0)
    first = order[0] if len(order) else 0
    for at, repeated in enumerate(same, 1):
        if repeated:
            yield int(order[at]), int(first)
        else:
            first = order[at]


def label_conflicts(seen: Seen) -> Iterator[int]:
    """Rows whose input bears another label elsewhere, those of the commonest label kept."""
    by_input: dict[int, Counter] = {}
    order = np.argsort(seen.input_N, kind="stable")
    twice = np.flatnonzero(np.diff(seen.input_N[order]) == 0)
    members = np.unique(np.concatenate([order[twice], order[twice + 1]])) if len(twice) else np.zeros(0, dtype=int)
    for row in members.tolist():
        by_input.setdefault(int(seen.input_N[row]), Counter())[seen.label[row]] += 1
    for row in members.tolist():
        counts = by_input[int(seen.input_N[row])].most_common(2)
        if len(counts) > 1 and seen.label[row] >= 0 and (seen.label[row] != counts[0][0] or counts[0][1] == counts[1][1]):
            yield row


def relabelled(name: str, fix: Relabel, examined: Examined) -> Iterator[tuple[int, str, str]]:
    """Rows whose label is to be written otherwise."""
    seen = examined.seen
    if seen.record is MultiLabelled:
        return
    if name == "labels":
        import re

        counts = Counter(seen.label)
        groups: dict[str, list[int]] = {}
        for at, label in enumerate(seen.label_names):
            groups.setdefault(re.sub(r"[\W_]+", "", label.casefold()) or label, []).append(at)
        target = {at: max(group, key=lambda one: (counts[one], seen.label_names[one])) for group in groups.values() if len(group) > 1 for at in group}
        for row, label in enumerate(seen.label):
            if target.get(label, label) != label:
                yield row, seen.label_names[target[label]], f"`{seen.label_names[label]}` differs only in spelling"
        return
    for found in examined.found:
        if found.code in fix.codes:
            yield from ((row, label, f"`{label}` is probably meant") for row, label in found.instead.items())


class Round:
    """One pass over the rows with a plan; gathers the patch on the way."""

    def __init__(self, plan: Plan, origin: array | None):
        self.plan, self.before = plan, origin
        self.patch: list[dict] = []
        self.origin = array("I")

    def numbered(self, number: int) -> int:
        """The number of a row in the source."""
        return self.before[number - 1] if self.before is not None else number

    def rows(self, source: Source) -> Iterator[dict]:
        for item in source.rows():
            if isinstance(item, Finding):
                if item.level == "error" and item.rows:
                    self.note(item.rows[0], item.line, "unreadable", "leave out", f"{item.code}: {item.message}")
                continue
            if item.number in self.plan.leave:
                self.note(item.number, item.line, self.plan.leave[item.number][0], "leave out", self.plan.leave[item.number][1])
                continue
            values = self.changed(item)
            yield values
            self.origin.append(self.numbered(item.number))
            if self.plan.swapped is not None:
                other = {column: mapped(value, self.plan.swapped) if column in self.plan.columns and column != self.plan.label_column else value for column, value in values.items()}
                if other != values:
                    self.note(item.number, item.line, "balance", "add", "the same with the other gender", None)
                    yield other
                    self.origin.append(self.numbered(item.number))

    def changed(self, row: Row) -> dict:
        values = dict(row.values)
        for name, change in self.plan.changes.items():
            for column in self.plan.columns & values.keys():
                new = mapped(values[column], change)
                if new != values[column]:
                    secret = name == "pii"
                    self.note(row.number, row.line, name, "change", FIXES[name].words, column, None if secret else values[column], None if secret else new)
                    values[column] = new
        if (label := self.plan.labels.get(row.number)) and self.plan.label_column in values:
            self.note(row.number, row.line, label[0], "change", label[2], self.plan.label_column, values[self.plan.label_column], label[1])
            values[self.plan.label_column] = label[1]
        if column := self.plan.weight_column:
            weight = self.plan.weights.get(row.number, 1.0)
            if values.get(column) != weight:
                if weight != 1.0:
                    self.note(row.number, row.line, "balance", "change", "weighed so that no label goes with a group of people", column, values.get(column), weight)
                values[column] = weight
        return values

    def note(self, number: int, line: int | None, fix: str, action: str, why: str, column: str | None = None, old=None, new=None) -> None:
        entry = {"row": self.numbered(number), "line": line if self.before is None else None, "fix": fix, "action": action, "why": why}
        if column is not None:
            entry |= {"column": column, "before": shown(old), "after": shown(new)}
        self.patch.append(entry)


def mapped(value, change: Callable[[str], str]):
    """A value with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [mapped(inner, change) for inner in value]
    return {key: mapped(inner, change) for key, inner in value.items()} if isinstance(value, dict) else value


def shown(value):
    """A value as the patch shows it; a long text is cut."""
    text = value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
    return text if text is None or len(text) <= SHOWN else text[:SHOWN] + "…"


def write_patch(path: Path, head: dict, entries: list[dict]) -> None:
    """A first line about the whole, then one line for each thing done, in the order of the rows."""
    with replacing(path) as stream:
        for entry in [head, *sorted(entries, key=lambda one: one["row"])]:
            stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")


