"""From sources to a data set on disk: read once, split by content, checked, accounted for, and reused while nothing changes."""
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from luthier.data import canonical, ledger, sources, spellings, split, summary
from luthier.data.checks import JUDGEMENT_CHECKS, SET_CHECKS, overlap
from luthier.data.findings import Finding, ordered
from luthier.data.intake import Intake, Rejected
from luthier.data.ledger import Ledger
from luthier.data.records import Record
from luthier.data.settings import DataSettings, share
from luthier.data.table import Table
from luthier.errors import CheckpointError, DataError, WorkFailed
from luthier.files import digest, read_json, staged_folder, verify, write_json
from luthier.runs.events import Event, Say, silent

VERSION = "1"
"""Of everything that turns sources into this folder; another version builds anew."""
NOT_READ = ("min_learned_share", "replay", "replay_from", "canaries", "sources", "weights", "temperature", "held_out", "accept")
"""Settings that do not touch what is read from one source."""


class DataSet:
    """A built data set: a folder with train, validation and test as canonical JSONL, rejected.jsonl, check.json and a manifest."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.facts = read_json(self.folder / "check.json")
        self.ok: bool = self.facts["ok"]
        self.findings: list[dict] = self.facts["findings"]
        self.ledger: dict[str, Ledger] = {name: ledger.from_dict(values) for name, values in self.facts["ledger"].items()}
        self.labels: list[str] = self.facts["labels"]
        """Sorted; empty where records have none."""
        self.mapping: dict | None = self.facts["mapping"]
        """task, style, columns, sentence; None where nothing could be read."""
        self.fingerprint: str = self.facts["fingerprint"]
        self.summary: dict = self.facts["summary"]
        self.sources: dict[str, dict] = self.facts["sources"]
        """Split -> {name, sha256} of what it was read from."""
        self.mixture: dict[str, dict] = self.facts.get("mixture", {})
        """Of a mixture: source -> split -> its account, with `first` and `count` of its records; empty otherwise."""
        self.record = canonical.RECORDS[self.facts["record"]] if self.facts["record"] else None

    def count(self, name: str) -> int:
        """Usable rows of a split."""
        return self.ledger[name].used

    def iterate(self, name: str) -> Iterator[Record]:
        """The records of a split in the order of the source, one at a time."""
        with open(self.folder / f"{name}.jsonl", encoding="utf-8", newline="\n") as stream:
            for line in stream:
                yield canonical.from_dict(json.loads(line), self.record)

    def records(self, name: str) -> list[Record]:
        """All records of a split, in memory."""
        return list(self.iterate(name))

    def set_tokens(self, name: str, *, learned: int, context: int, cut: int) -> Ledger:
        """The ledger of a split with its tokens, which preparation has counted; the folder itself stays as it is."""
        account = self.ledger[name]
        account.tokens = ledger.Tokens(learned + context + cut, learned, context, cut).check()
        return account

    def errors(self) -> list[dict]:
        return [finding for finding in self.findings if finding["level"] == "error"]

    def raise_errors(self) -> None:
        """Raise DataError where there are errors; it holds all findings and the place of the first error."""
        if not (errors := self.errors()):
            return
        first = errors[0]
        count = self.facts["errors"]
        more = f" (and {count - 1:,} more)" if count > 1 else ""
        skip = "" if any(finding["hint"] for finding in errors[:1]) else "data.on_bad_row=skip leaves bad rows out"
        place = {key: first[key] for key in ("code", "file", "line", "column", "byte_offset", "field", "rows", "count")}
        raise DataError(f"{first['message']}{more}", findings=self.findings, hint=first["hint"] or skip, **place)


def build(
    settings: DataSettings, *, task: str | None = None, record: type | None = None, folder: Path, say: Say = silent,
    identity: Callable[[Record], str] = split.identity_of, strict: bool = True,
) -> DataSet:
    """Build the data set that `settings` describe in `folder`, or reuse it where sources, settings and code are those it was built from.

    `task` and `record` are what the recipe needs (None: guessed); `identity` gives the input whose normalised form keeps equal rows on one side.
    With `strict`, errors in the data raise DataError with all findings; without, the DataSet has `ok` False. Either way the folder stands, with
    rejected.jsonl. What cannot be read at all (no such file, unknown columns) always raises.
    """
    folder = Path(folder)
    found = _locate(settings)
    prints = {name: source.fingerprint() for name, source in found.items()}
    fingerprint = _fingerprint(settings, task, record, identity, prints)
    if (old := reusable(folder, fingerprint)) is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(folder, kind="data", version=VERSION, split_version=split.VERSION, fingerprint=fingerprint, sources=prints) as stage:
            _build(settings, found, prints, fingerprint, Intake(settings, task=task, record=record or spellings.TASKS.get(task or ""), identity=identity, folder=stage, say=say), stage)
        old = DataSet(folder)
    else:
        say(Event("note", f"data unchanged: {folder} is used again", {"fingerprint": fingerprint}))
    if strict:
        old.raise_errors()
    return old


def _locate(settings: DataSettings) -> dict[str, sources.Source]:
    """Split -> source. Files that the user names win over those that a folder or a hub data set brings, and those over shares."""
    found = dict(sources.locate(settings.train))
    for name, given in (("validation", settings.validation), ("test", settings.test)):
        if share(given, name) is None:
            other = sources.locate(str(given))
            found[name] = other.get(name) or other["train"]
        elif name in found and share(given, name) == 0:
            del found[name]
    return found


def _fingerprint(settings: DataSettings, task: str | None, record: type | None, identity: Callable, prints: dict[str, str]) -> str:
    """What the content of the folder depends on, as one hash."""
    asked = {key: value for key, value in asdict(settings).items() if key not in NOT_READ}
    given = {"settings": asked, "task": task, "record": record.kind if record else None, "identity": f"{identity.__module__}.{identity.__qualname__}", "sources": prints}
    return digest("data", VERSION, split.VERSION, json.dumps(given, sort_keys=True))


def reusable(folder: Path, fingerprint: str) -> DataSet | None:
    """The data set that stands in the folder, where it is whole and has this fingerprint."""
    if not (folder / "manifest.json").exists():
        return None
    try:
        return DataSet(folder) if verify(folder).get("fingerprint") == fingerprint else None
    except CheckpointError:
        return None


def _build(settings: DataSettings, found: dict[str, sources.Source], prints: dict[str, str], fingerprint: str, intake: Intake, stage: Path) -> None:
    """Both passes: read everything, decide the sides, then write each row where it belongs."""
    try:
        for name in split.SPLITS:
            if name in found:
                intake.say(Event("phase", f"reading {found[name].name}", {"phase": "read", "split": name}))
                intake.take(name, found[name])
    finally:
        intake.close()
    table, leaves_N = _divide(settings, found, intake)
    findings = [*intake.notes, *overlap.check(table, leaves_N, allowed=settings.allow_overlap)]
    if not settings.allow_overlap:
        table.side[leaves_N] = split.LEFT_OUT
    _distribute(intake, table, stage)
    for check in SET_CHECKS.values():
        findings += check(table)
    for check in JUDGEMENT_CHECKS.values():
        findings += check(intake.judged)
    _settle(intake, table)
    findings = _without_echoes(findings)
    errors = intake.tally.errors() + sum(finding.level == "error" for finding in findings)
    findings = ordered([*findings, *intake.tally.findings()])
    mapping = intake.mapping
    write_json(stage / "check.json", {
        "ok": errors == 0,
        "errors": errors,
        "findings": [finding.to_dict() for finding in findings],
        "ledger": {name: account.to_dict() for name, account in intake.ledgers.items()},
        "summary": summary.summarise(table),
        "labels": _labels(settings, intake, table),
        "mapping": mapping.to_dict() if mapping else None,
        "record": mapping.record.kind if mapping else None,
        "fingerprint": fingerprint,
        "split": {"version": split.VERSION, "shares": table.wanted, "given": sorted(table.given)},
        "sources": {name: {"name": source.name, "sha256": prints[name]} for name, source in found.items()},
    })


def _labels(settings: DataSettings, intake: Intake, table: Table) -> list[str]:
    """Every label or type of span that a row has or that the user allows, sorted."""
    if intake.types:
        return sorted(intake.types)
    return sorted({table.labels[at] for at in np.unique(table.label[(table.side < 3) & (table.label >= 0)])} | set(settings.labels or ()))


def _divide(settings: DataSettings, found: dict[str, sources.Source], intake: Intake) -> tuple[Table, np.ndarray]:
    """The table with the side of each row, and which rows must leave because a later split holds their input or group."""
    wanted = {name: share(given, name) or 0.0 for name, given in (("validation", settings.validation), ("test", settings.test)) if name not in found}
    side_N = np.frombuffer(intake.sides, dtype=np.int8).copy() if len(intake.sides) else np.zeros(0, dtype=np.int8)
    columns = intake.rows.freeze()
    own_N = side_N == split.TRAIN
    # rows that a given file claims leave before the rest is divided, so that a group is never cut in two
    leaves_N = split.overlapping(columns["identity"], columns["group"], side_N)
    free_N = own_N & ~leaves_N if not settings.allow_overlap else own_N
    unit_N = split.units(columns["identity"][free_N], columns["group"][free_N])
    side_N[free_N] = split.assign(unit_N, split.Shares(wanted.get("validation", 0.0), wanted.get("test", 0.0)))
    given = frozenset(name for name in found if name != "train")
    table = Table(**columns, side=side_N, labels=list(intake.labels), files=list(intake.files), given=given, wanted=wanted, min_test_rows=settings.min_test_rows)
    return table, leaves_N


def _distribute(intake: Intake, table: Table, stage: Path) -> None:
    """Copy each line to the file of its split; those left out go to rejected.jsonl."""
    rejected = Rejected(stage / "overlap.tmp")
    streams = [open(stage / f"{name}.jsonl", "wb", buffering=1 << 20) for name in split.SPLITS]
    try:
        with open(intake.path, "rb", buffering=1 << 20) as lines:
            for at, (line, side) in enumerate(zip(lines, table.side.tolist(), strict=True)):
                if side < split.LEFT_OUT:
                    streams[side].write(line)
                    continue
                finding = Finding("D401", "warning", "its input or group stands in a later split too", rows=[int(table.number[at])], raw=line.decode().rstrip("\n"))
                finding.file, finding.line = table.files[table.file[at]], int(table.line[at]) or None
                rejected.write(finding, overlap.REASON)
    finally:
        rejected.close()
        for stream in streams:
            stream.close()
    with open(stage / "rejected.jsonl", "ab") as target, open(stage / "overlap.tmp", "rb") as source:
        while block := source.read(1 << 20):
            target.write(block)
    (stage / "overlap.tmp").unlink()
    intake.path.unlink()


def _settle(intake: Intake, table: Table) -> None:
    """Close the accounts: rows move to the split where they ended, and each account must balance, as must their sum."""
    read = sum(account.rows_in for account in intake.ledgers.values())
    began = np.frombuffer(intake.sides, dtype=np.int8) if len(intake.sides) else np.zeros(0, dtype=np.int8)
    for at, name in enumerate(split.SPLITS):
        account = intake.ledgers[name]
        account.used = int((table.side == at).sum())
        account.leave_out(overlap.REASON, int(((began == at) & (table.side == split.LEFT_OUT)).sum()))
        if at and not (began == at).any():
            account.rows_in += account.used
            intake.ledgers["train"].rows_in -= account.used
    for account in intake.ledgers.values():
        account.check()
    if (total := sum(account.rows_in for account in intake.ledgers.values())) != read:
        raise WorkFailed(f"{read:,} rows were read and {total:,} are accounted for", code="D900", hint="this is a fault of the program; please report it")


def _without_echoes(findings: list[Finding]) -> list[Finding]:
    """Where too little could be read at all, that is the finding; that the splits are then empty or small needs no telling."""
    fatal = any(finding.fatal for finding in findings)
    few = any(finding.code == "D120" and finding.level == "error" for finding in findings)
    echoes = {"D121", "D122", "D402"} if few else set()
    return [finding for finding in findings if finding.code not in echoes and not (fatal and finding.code == "D120" and not finding.fatal)]
