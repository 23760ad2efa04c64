"""The first pass: every row of every source becomes a record on disk and a few numbers in the table, or is left out with its reason."""
import difflib
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import get_args

from luthier.data import feedback
from luthier.data.canonical import body_json, encode_json, to_line
from luthier.data.checks import ROW_CHECKS, columns, ids
from luthier.data.findings import CODES, LONGEST_RAW, Finding, Tally
from luthier.data.judgements import Judgements
from luthier.data.ledger import Ledger
from luthier.data.records import Asked, Conversation, Labelled, MultiLabelled, Pair, Prompt, Record, Scored, Tagged, both_texts
from luthier.data.settings import DataSettings
from luthier.data.sources import Row, Source
from luthier.data.spellings import LEARNED_BY, SAMPLE, Mapping, convert, guess, label_left_out, mapping_from
from luthier.data.split import SPLITS, hash_of, normalise
from luthier.data.table import Rows
from luthier.data.words import types_of
from luthier.errors import RecipeError
from luthier.metrics.spans import parts_of
from luthier.runs.events import Event, Say

BETWEEN_NEWS = 0.5
ROWS_BETWEEN_LOOKS = 2048
SIDE = {name: at for at, name in enumerate(SPLITS)}
JUDGED = frozenset(get_args(Asked))


class Rejected:
    """rejected.jsonl: each row that was left out, with its reason, its place and its text."""

    def __init__(self, path: Path):
        self.stream = open(path, "w", encoding="utf-8")

    def write(self, finding: Finding, reason: str) -> None:
        place = {key: value for key, value in finding.to_dict().items() if key not in ("level", "rows", "count")}
        raw = finding.raw or ""
        cut = {"raw_cut": True} if len(raw) > LONGEST_RAW else {}
        self.stream.write(encode_json({"reason": reason, "row": finding.row or None, **place, "raw": raw[:LONGEST_RAW], **cut}) + "\n")

    def close(self) -> None:
        self.stream.close()


class Intake:
    """What grows while sources are read. Call `take` for each, then `close`."""

    def __init__(self, settings: DataSettings, *, task: str | None, record: type | None, identity: Callable[[Record], str], folder: Path, say: Say):
        self.settings, self.task, self.record, self.identity, self.say = settings, task, record, identity, say
        self.path = folder / "rows.tmp"
        self.lines = open(self.path, "wb", buffering=1 << 20)
        self.rejected = Rejected(folder / "rejected.jsonl")
        self.rows, self.tally = Rows(), Tally()
        self.sides = array("b")
        self.judged = Judgements()
        self.notes: list[Finding] = []
        self.ledgers = {split: Ledger() for split in SPLITS}
        self.mapping: Mapping | None = None
        self.labels: dict[str, int] = {}
        self.types: dict[str, int] = {}
        """Labels of which a record has several, such as types of spans: how many records have each."""
        self.allowed = {label: at for at, label in enumerate(settings.labels or ())}
        self.files: dict[str, int] = {}
        self.stopped = False

    def close(self) -> None:
        self.lines.close()
        self.rejected.close()

    # ---- one source
    def take(self, split: str, source: Source) -> None:
        """Read one source to its end; its rows belong to `split` (train may be divided later)."""
        before = source.state()
        items = source.rows(self.settings.max_line_bytes)
        first, items = self._look_ahead(items)
        mapping = self._mapping(first, source.name) if first else None
        shapes = columns.Shapes()
        for item in self._counted(items, split, source.name):
            if type(item) is Row:
                shapes.see(item.values, item.number, item.line)
                self._row(item, mapping, split)
            else:
                self._finding(item, split)
        if mapping is not None:
            self.notes += [] if mapping.record is Prompt else columns.check(shapes, mapping.used() | set(ids.NAMES), source.name)
        if not first and not self.stopped and not self.ledgers[split].rows_in:
            self._finding(Finding("D120", "error", f"{source.name} has no rows", source.name, count=0, hint="is the file empty, or only a header?", fatal=True), split)
        if source.state() != before:
            self._finding(Finding("D109", "error", f"{source.name} changed while it was read", source.name, hint="run again when nothing writes to it", fatal=True), split)

    def _look_ahead(self, items: Iterator) -> tuple[list[Row], Iterator]:
        """The first rows, for the guess, and an iterator that begins with them again."""
        held, first = [], []
        for item in items:
            held.append(item)
            if type(item) is Row:
                first.append(item)
                if len(first) >= min(SAMPLE, self.settings.max_rows or SAMPLE):
                    break
            elif len(held) > 10 * SAMPLE:
                break
        return first, chain(held, items)

    def _counted(self, items: Iterator, split: str, name: str) -> Iterator[Row | Finding]:
        """The items up to `max_rows`, with news of how far it is."""
        limit = self.settings.max_rows
        told = time.monotonic()
        for count, item in enumerate(items, 1):
            number = item.number if type(item) is Row else item.row
            if limit is not None and number > limit:
                self.notes.append(Finding("D133", "info", f"only the first {limit:,} rows are read, as data.max_rows says", name))
                return
            yield item
            if count % ROWS_BETWEEN_LOOKS == 0 and time.monotonic() - told > BETWEEN_NEWS:
                told = time.monotonic()
                self.say(Event("progress", f"reading {name}", {"task": f"read {split}", "done": number, "total": None, "unit": "rows"}))

    def _mapping(self, first: Sequence[Row], name: str) -> Mapping:
        """How this source's rows become records: as those before it where it has their columns, else as data.map says, else guessed."""
        names = list(dict.fromkeys(column for row in first for column in row.values))
        before = self.mapping
        began = f"line {first[0].line}" if first[0].line else f"row {first[0].number}"
        if before is not None and {*before.columns.values()} <= set(names):
            return replace(before, began=began, weight=before.weight if before.weight in names else None)
        if self.settings.map and before is None:
            made = mapping_from(self.settings.map, self.task, names, path=name, record=self.record, sample=first)
        else:
            made = guess(first, name, task=self.task, record=before.record if before else self.record)
        group = self._column(names, name, "group")
        # rows that are only tested need no weight
        weight = self._column(names, name, "row_weight") if before is None or self.settings.row_weight in names else None
        if weight is not None and made.record in LEARNED_BY:
            raise RecipeError("data.row_weight weighs rows that are learned by cross-entropy; pairs, ratings and prompts are not", code="R146", field="data.row_weight", hint="leave data.row_weight out")
        made = replace(made, group=group, weight=weight, began=began, names=tuple(self.settings.labels or ()))
        self.say(Event("note", made.sentence, made.to_dict()))
        if found := label_left_out(made, first, name):
            self.notes.append(found)
        self.mapping = before or made
        return made

    def _column(self, names: list[str], name: str, key: str) -> str | None:
        """The column that `data.group` or `data.row_weight` names; a finding where the source lacks it."""
        column = getattr(self.settings, key)
        if column is None or column in names:
            return column
        near = difflib.get_close_matches(column, names, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"columns: {', '.join(names[:20])}"
        self._finding(Finding("D115", "error", f"{name} has no column `{column}`, which data.{key} names", name, field=column, hint=hint, fatal=True), "train")
        return None

    # ---- one row
    def _row(self, row: Row, mapping: Mapping, split: str) -> None:
        record = convert(row, mapping)
        if type(record) is Finding:
            self._reject(record, row, split)
            return
        for check in ROW_CHECKS.values():
            if found := check(record):
                found.file, found.line, found.byte_offset, found.rows = row.file, row.line, row.byte_offset, [row.number]
                found.field = _in_file(found.field, mapping)
                if found.level == "error":
                    self._reject(found, row, split)
                    return
                self.tally.add(found)
        label = -1
        if type(record) is Labelled:
            if self.allowed and record.label not in self.allowed:
                self._reject(self._label_not_allowed(record.label, row, mapping), row, split)
                return
            label = self.labels.setdefault(record.label, len(self.labels))
        elif type(record) in (Tagged, MultiLabelled):
            types = types_of(record) if type(record) is Tagged else set(record.labels)
            allowed = {parts_of(name)[1] if type(record) is Tagged else name for name in self.allowed}
            if strange := sorted(types - allowed) if allowed else []:
                self._reject(self._label_not_allowed(strange[0], row, mapping), row, split)
                return
            for name in types:
                self.types[name] = self.types.get(name, 0) + 1
        self._keep(row, record, label, split)

    def _keep(self, row: Row, record: Record, label: int, split: str) -> None:
        """Write the record and note its numbers."""
        body = body_json(record)
        line = to_line(body, record).encode() + b"\n"
        self.lines.write(line)
        self.ledgers[split].rows_in += 1
        self.sides.append(SIDE[split])
        characters, answer = _lengths(record)
        identity = hash_of(normalise(self.identity(record)))
        if type(record) in JUDGED:
            self.judged.see(record, identity)
        self.rows.add(
            identity,
            int.from_bytes(blake2b(body.encode(), digest_size=8).digest(), "little"),
            hash_of("group " + record.group) or 1 if record.group is not None else 0,
            _id_of(row.values), label, characters, answer, len(line), row.number, row.line or 0, self.files.setdefault(row.file, len(self.files)),
        )

    def _label_not_allowed(self, label: str, row: Row, mapping: Mapping) -> Finding:
        near = difflib.get_close_matches(label, self.allowed, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(list(self.allowed)[:20])}"
        return Finding("D306", "error", f"the label `{label[:80]}` is not in the set of data.labels", row.file, row.line, None, row.byte_offset, next((mapping.columns[role] for role in ("label", "labels", "tags", "spans") if role in mapping.columns), None), [row.number], hint=hint)

    # ---- what is wrong
    def _reject(self, finding: Finding, row: Row, split: str) -> None:
        finding.raw = encode_json(row.values) if _plain(row.values) else repr(row.values)
        self._finding(finding, split)

    def _finding(self, finding: Finding, split: str) -> None:
        """Note a finding; an error about one row counts the row and leaves it out."""
        if finding.level == "error" and not finding.fatal:
            reason = CODES[finding.code]
            self.ledgers[split].rows_in += 1
            self.ledgers[split].leave_out(reason)
            self.rejected.write(finding, reason)
            if self.settings.on_bad_row == "skip":
                finding.level = "warning"
            self.tally.add(finding)
            return
        self.stopped |= finding.fatal
        self.notes.append(finding)


def _lengths(record: Record) -> tuple[int, int]:
    """Characters of a record, and of what it teaches."""
    if type(record) is Conversation:
        characters = answer = 0
        for message in record.messages:
            size = len(message.content)
            characters += size
            if message.role == "assistant" and message.weight:
                answer += size
        return characters, answer
    if type(record) is Pair:
        return len(record.source) + len(record.target), len(record.target)
    if type(record) is Scored:
        return len(both_texts(record)), len(f"{record.value:g}")
    if type(record) in (Labelled, MultiLabelled):
        return len(both_texts(record)), len(record.label)
    if type(record) is Tagged:
        return len(record.text), sum(end - start for (start, end), tag in zip(record.words, record.tags) if tag != "O")
    if type(record) in JUDGED:
        return feedback.lengths(record)
    return len(record.text), len(record.text)


def _in_file(field: str | None, mapping: Mapping) -> str | None:
    """The field of a record's check in the words of the file."""
    if field is None:
        return None
    head, bracket, tail = field.partition("[")
    if mapping.style in ("messages", "sharegpt", "text", "text and label", "text and spans"):
        return mapping.columns.get(head, head) + bracket + tail
    if mapping.style == "turns":
        return mapping.columns["turns"] + (bracket + tail).removesuffix(".content").removesuffix(".role")
    return None if head == "messages" else mapping.columns.get(head, head)


def _id_of(values: dict) -> int:
    """The hash of a row's own id; 0 where it has none."""
    for name in ids.NAMES:
        if name in values and (value := values[name]) is not None and value != "":
            return hash_of(f"id {value}") or 1
    return 0


def _plain(value) -> bool:
    """Whether a value is of JSON's own kinds throughout."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return value is None or isinstance(value, (str, int, float, bool))
