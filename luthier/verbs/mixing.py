"""What is mixed into the training examples beside the task's own rows: general rows against forgetting, and planted secrets that measure memory."""
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.data import dataset
from luthier.data.records import Text
from luthier.data.settings import DataSettings, share
from luthier.errors import DataError, RecipeError
from luthier.evaluation.probes import canaries
from luthier.evaluation.probes.general import texts
from luthier.files import digest, write_json
from luthier.preparation.joined import JoinedStore
from luthier.preparation.store import TokenStore
from luthier.runs.events import Event, Say
from luthier.verbs.comparing import chosen_rows
from luthier.verbs.stages import Tokens


@dataclass(frozen=True)
class Mixed:
    """The tokens of a run with what was mixed in, and its fingerprint: empty where nothing was."""

    tokens: Tokens
    key: str


def mixed(settings: DataSettings, tokens: Tokens, task, renderer, *, objective: str, folder: Path, seed: int, say: Say) -> Mixed:
    """Join replayed rows and canaries to the training store; both are counted in the ledger under their own names."""
    part = share(settings.replay, "replay")
    if part is None:
        raise RecipeError(f"data.replay is a share such as 10%, got {settings.replay!r}", code="R169", field="data.replay", hint="name the file in data.replay_from")
    if not part and not settings.canaries:
        return Mixed(tokens, "")
    if objective != "sft":
        raise RecipeError(f"data.replay and data.canaries mix rows that objective {objective} does not read", code="R169", field="data.replay", hint="leave them out, or use objective=sft")
    stores, ledger = [tokens.stores["train"]], dict(tokens.ledger)
    if part:
        records = replayed(settings, task, folder / "replay-data", say)
        wanted = max(1, round(part / (1 - part) * len(stores[0])))
        chosen = chosen_rows(records, wanted)
        if len(chosen) < wanted:
            say(Event("warning", f"{wanted:,} rows would be {part:.0%} of the training rows, and {settings.replay_from or 'the general text that ships'} has {len(records):,}", {"code": "T205", "step": 0}))
        add("replay", chosen, len(records), stores, ledger, task, renderer, folder)
    if settings.canaries:
        planned = canaries.make(settings.canaries, seed)
        records = canaries.planted(planned, task.record)
        if not records:
            raise RecipeError(f"there is no place for a secret in rows of task {task.name}", code="R169", field="data.canaries", hint="leave data.canaries out")
        write_json(folder.parent / "canaries.json", planned)
        add("canaries", records, len(records), stores, ledger, task, renderer, folder)
    joined = JoinedStore(stores)
    say(Event("note", f"{len(joined) - len(stores[0]):,} of {len(joined):,} training examples are mixed in", {"mixed": len(joined) - len(stores[0])}))
    return Mixed(dataclasses.replace(tokens, stores={**tokens.stores, "train": joined}, ledger=ledger), joined.key)


def replayed(settings: DataSettings, task, folder: Path, say: Say) -> Sequence:
    """General rows: of the file named, read as the task's own records, or else as plain text."""
    if not settings.replay_from:
        return [Text(text) for text in texts(None)]
    own = dataclasses.replace(settings, train=settings.replay_from, validation=0, test=0, map={}, group=None, row_weight=None, labels=None, replay=0, replay_from=None, canaries=0)
    try:
        return dataset.build(own, task=task.name, record=task.record, identity=task.identity, folder=folder, say=say).records("train")
    except (DataError, RecipeError):
        if task.record is Text:
            raise
        return dataset.build(own, task="causal_lm", record=Text, folder=folder, say=say).records("train")


def add(name: str, records: Sequence, found: int, stores: list, ledger: dict, task, renderer, folder: Path) -> None:
    """Examples of these records as one more store, with an account of their own."""
    prepared = renderer.documents([record.text for record in records]) if records and isinstance(records[0], Text) else task.examples(records, renderer)
    examples = [dataclasses.replace(example, record=at) for at, item in enumerate(prepared) for example in item.examples]
    store = TokenStore.build(folder / name, examples, key=digest(name, *(str(record) for record in records)))
    used = sum(bool(item.examples) for item in prepared)
    left = {"not needed for the share": found - len(records), **{reason: sum(item.left_out == reason for item in prepared) for reason in {item.left_out for item in prepared} if reason}}
    ledger[name] = {
        "rows_in": found, "used": used, "left_out": {reason: count for reason, count in left.items() if count},
        "tokens": {"in": store.tokens + store.tokens_cut, "learned": store.tokens_learned, "context": store.tokens - store.tokens_learned, "cut": store.tokens_cut},
    }
    stores.append(store)
