"""Several data sets as one, for instruction tuning: each source keeps its own columns, split and account, and no row that one of them is tested on is learned in another.

In every split the sources stand one after the other, in the order of the recipe, so that a stretch of records tells where they come from.
"""
import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from luthier.data import dataset, split
from luthier.data.checks.overlap import REASON
from luthier.data.dataset import DataSet
from luthier.data.findings import Finding, ordered
from luthier.data.ledger import Ledger
from luthier.data.records import Record
from luthier.data.settings import DataSettings, share
from luthier.data.split import SPLITS, hash_of, normalise
from luthier.errors import RecipeError
from luthier.files import digest, staged_folder, write_json
from luthier.runs.events import Say, silent

Key = Callable[[Record], int]


def build(settings: DataSettings, *, task: str | None = None, record: type | None = None, folder: Path, say: Say = silent, identity: Callable[[Record], str] = split.identity_of, strict: bool = True) -> DataSet:
    """The data set of all `settings.sources` in `folder`, each source's own beside it in `sources/`; errors are those of `dataset.build`, and RecipeError R201."""
    folder = Path(folder)
    check(settings)
    parts = {
        name: dataset.build(alone(settings, source), task=task, record=record, folder=folder.parent / "sources" / name, say=say, identity=identity, strict=strict)
        for name, source in settings.sources.items()
    }
    fingerprint = digest("mixture", dataset.VERSION, json.dumps([settings.allow_overlap, settings.temperature, sorted(settings.weights.items())]), *(f"{name} {part.fingerprint}" for name, part in parts.items()))
    if (old := dataset.reusable(folder, fingerprint)) is None:
        prints = {name: part.fingerprint for name, part in parts.items()}
        with staged_folder(folder, kind="data", version=dataset.VERSION, split_version=split.VERSION, fingerprint=fingerprint, sources=prints) as stage:
            joined(parts, stage, lambda row: hash_of(normalise(identity(row))), fingerprint, allowed=settings.allow_overlap)
        old = DataSet(folder)
    if strict:
        old.raise_errors()
    return old


def check(settings: DataSettings) -> None:
    """RecipeError R201 where the settings of a mixture contradict each other."""
    wrong = next((name for name in settings.weights if name not in settings.sources), None)
    files = [name for name in ("validation", "test") if share(getattr(settings, name), name) is None]
    trouble = (
        ("data.train", "data.train names one data set and data.sources several; a recipe has one of the two", "move it into data.sources under a name") if settings.train else
        ("data.map", "data.map cannot say which of the sources it means", "rename the columns in the files, or write them with `luthier data convert`") if settings.map else
        (f"data.{files[0]}", f"data.{files[0]} names a file, and each of data.sources has a split of its own", "write a share such as 10%") if files else
        (f"data.weights.{wrong}", f"data.weights names {wrong!r}, and the sources are: {', '.join(settings.sources)}", "give weights to sources by their names") if wrong else None
    )
    if trouble:
        raise RecipeError(trouble[1], code="R201", field=trouble[0], hint=trouble[2])


def alone(settings: DataSettings, source: str, **more) -> DataSettings:
    """The settings of one source by itself."""
    return dataclasses.replace(settings, train=source, sources={}, weights={}, temperature=1.0, held_out={}, replay=0, replay_from=None, canaries=0, **more)


def joined(parts: dict[str, DataSet], stage: Path, key: Key, fingerprint: str, *, allowed: bool) -> None:
    """Write the splits one source after the other, and the account of the whole and of each; rows that another source is judged by leave."""
    later = {name: set() if allowed else {key(row) for part in parts.values() for after in SPLITS[at + 1 :] for row in part.iterate(after)} for at, name in enumerate(SPLITS)}
    ledgers, accounts, findings = {}, {name: {} for name in parts}, []
    with open(stage / "rejected.jsonl", "wb") as rejected:
        for part in parts.values():
            rejected.write((part.folder / "rejected.jsonl").read_bytes())
        for name in SPLITS:
            whole, first = Ledger(), 0
            with open(stage / f"{name}.jsonl", "wb") as target:
                for source, part in parts.items():
                    account, left = part.ledger[name], 0
                    for line, row in lines_of(part, name):
                        leaves = key(row) in later[name]
                        left += leaves
                        (rejected if leaves else target).write(line)
                    account = Ledger(account.rows_in, account.used - left, Counter(account.left_out))
                    account.leave_out(REASON, left)
                    accounts[source][name] = {**account.check().to_dict(), "first": first, "count": account.used}
                    first += account.used
                    whole = Ledger(whole.rows_in + account.rows_in, whole.used + account.used, whole.left_out + account.left_out)
                    if left:
                        findings.append(Finding("D401", "warning", f"{left:,} {name} row{'s' if left > 1 else ''} of source {source} have an input that another source is judged by: left out of {name}", count=left))
            ledgers[name] = whole.check()
    write_json(stage / "check.json", facts_of(parts, ledgers, accounts, findings, fingerprint))


def lines_of(part: DataSet, name: str) -> Iterator[tuple[bytes, Record]]:
    """Each line of a split as it lies on the disk, and its record."""
    with open(part.folder / f"{name}.jsonl", "rb") as stream:
        yield from zip(stream, part.iterate(name), strict=True)


def facts_of(parts: dict[str, DataSet], ledgers: dict[str, Ledger], accounts: dict, findings: list[Finding], fingerprint: str) -> dict:
    """check.json of the whole, in the shape of every data set, with `mixture` beside: source -> split -> its account and where its records stand."""
    found = [*(finding for part in parts.values() for finding in part.findings), *(finding.to_dict() for finding in ordered(findings))]
    labels = {name: Counter() for name in SPLITS}
    for part in parts.values():
        for name in SPLITS:
            labels[name].update(part.summary[name].get("labels", {}))
    names = {name: " + ".join(part.sources.get(name, part.sources["train"])["name"] for part in parts.values()) for name in SPLITS}
    return {
        "ok": all(part.ok for part in parts.values()), "errors": sum(part.facts["errors"] for part in parts.values()), "findings": found,
        "ledger": {name: account.to_dict() for name, account in ledgers.items()},
        "summary": {name: {"rows": account.used, "characters": None, "answer_characters": None, **({"labels": dict(labels[name])} if labels[name] else {})} for name, account in ledgers.items()},
        "labels": sorted(set().union(*(part.labels for part in parts.values()))), "mapping": mapping_of(parts), "record": next(iter(parts.values())).facts["record"], "fingerprint": fingerprint,
        "split": next(iter(parts.values())).facts["split"], "sources": {name: {"name": names[name], "sha256": fingerprint} for name in SPLITS}, "mixture": accounts,
    }


def mapping_of(parts: dict[str, DataSet]) -> dict | None:
    """How each source is read, as one sentence; the rest is the first one's."""
    known = {name: part.mapping for name, part in parts.items() if part.mapping}
    return {**next(iter(known.values())), "sentence": "; ".join(f"{name}: {mapping['sentence']}" for name, mapping in known.items())} if known else None


def source_of(data: DataSet, name: str, index: int) -> str:
    """The source of a record by its 0-based number in a split."""
    return next(source for source, accounts in data.mixture.items() if accounts[name]["first"] <= index < accounts[name]["first"] + accounts[name]["count"])
