"""A mixture in training: how often each source is learned, what became of its rows and tokens, and its own figures on validation and test rows.

A source's share of the training examples is weight * examples^(1 / temperature), normalised (as in T5, arXiv:1910.10683, without its limit). An epoch stays as long as all sources
together: a source below its size loses examples, which is told; one above it is learned more than once.
"""
import dataclasses
from collections.abc import Sequence

import numpy as np

from luthier.data.dataset import DataSet
from luthier.data.mixture import source_of
from luthier.data.settings import DataSettings
from luthier.errors import RecipeError
from luthier.evaluation.results import Result
from luthier.evaluation.statistics import interval
from luthier.metrics.metric import Metric
from luthier.preparation.part import PartStore
from luthier.runs.events import Event, Say
from luthier.verbs.stages import Tokens

PURPOSE = 9
"""Keeps this stream of chance apart from others with the same seed."""


def weighed(settings: DataSettings, data: DataSet, tokens: Tokens, *, objective: str, seed: int, say: Say) -> Tokens:
    """The tokens with every source as often as the recipe says, and accounts of their own in the ledger; unchanged where there is one data set."""
    if not data.mixture:
        return tokens
    if objective != "sft":
        raise RecipeError(f"data.sources mixes examples one by one, which objective {objective} does not learn from", code="R201", field="data.sources", hint="write the files as one with `luthier data join`, or use objective=sft")
    train = tokens.stores["train"]
    numbers = {name: numbers_of(data, "train", train, name) for name in data.mixture}
    wanted = shares(settings, {name: len(found) for name, found in numbers.items()})
    drawn = {name: drawn_from(found, wanted[name], (seed, PURPOSE, place)) for place, (name, found) in enumerate(numbers.items())}
    ledger = tokens.ledger | accounts(data, tokens)
    for name, found in numbers.items():
        times = len(drawn[name]) / max(1, len(found))
        unread = len(found) - len(np.unique(drawn[name]))
        say(Event("note", f"source {name}: {len(found):,} examples, {len(drawn[name]) / max(1, sum(map(len, drawn.values()))):.0%} of what is learned, each {times:.2g} times an epoch"
                  + (f"; {unread:,} are not drawn" if unread else ""), {"source": name, "examples": len(found), "learned": len(drawn[name]), "not_drawn": unread}))
    if all(len(drawn[name]) == len(numbers[name]) for name in numbers):
        return dataclasses.replace(tokens, ledger=ledger)
    part = PartStore(train, np.sort(np.concatenate(list(drawn.values()))))
    return dataclasses.replace(tokens, stores={**tokens.stores, "train": part}, ledger=ledger)


def shares(settings: DataSettings, sizes: dict[str, int]) -> dict[str, int]:
    """How many examples of each source an epoch holds: as many in all as there are."""
    rates = {name: settings.weights.get(name, 1.0) * size ** (1 / settings.temperature) if size else 0.0 for name, size in sizes.items()}
    total, rate = sum(sizes.values()), sum(rates.values())
    return {name: max(1, round(total * rates[name] / rate)) if size else 0 for name, size in sizes.items()}


def drawn_from(numbers: np.ndarray, wanted: int, key: tuple[int, ...]) -> np.ndarray:
    """So many of these examples: all of them as often as they go, the rest by lot."""
    if not len(numbers):
        return numbers
    times, rest = divmod(wanted, len(numbers))
    lot = np.random.default_rng(key).permutation(len(numbers))[:rest]
    return np.concatenate([np.tile(numbers, times), numbers[lot]])


def numbers_of(data: DataSet, split: str, store, name: str) -> np.ndarray:
    """The examples of a source in a store of a split."""
    first, count = (data.mixture[name][split][key] for key in ("first", "count"))
    records_N = np.asarray(store.records)
    return np.flatnonzero((records_N >= first) & (records_N < first + count))


def accounts(data: DataSet, tokens: Tokens) -> dict:
    """Rows and tokens of each source in each split, by `SPLIT of SOURCE`; empty where there is one data set."""
    return {f"{split} of {name}": account(data, split, store, name) for name in data.mixture for split, store in tokens.stores.items()}


def account(data: DataSet, split: str, store, name: str) -> dict:
    """Rows and tokens of a source, in the shape of every account; the tokens are those of its examples."""
    known, numbers = data.mixture[name][split], numbers_of(data, split, store, name)
    used = len(np.unique(np.asarray(store.records)[numbers]))
    tokens, learned = (int(np.asarray(getattr(store, field))[numbers].sum()) for field in ("lengths", "learned"))
    left_out = {**known["left_out"], **({"left out while the tokens were made": known["count"] - used} if known["count"] > used else {})}
    cut = int(np.asarray(store.cuts)[numbers].sum())
    return {"rows_in": known["rows_in"], "used": used, "left_out": left_out, "tokens": {"in": tokens + cut, "learned": learned, "context": tokens - learned, "cut": cut}}


def validation_parts(data: DataSet, store) -> dict[str, PartStore]:
    """The validation examples of each source that has any; empty where there is one data set."""
    found = {name: numbers_of(data, "validation", store, name) for name in data.mixture}
    return {name: PartStore(store, numbers) for name, numbers in found.items() if len(numbers)}


def sources_of(data: DataSet, split: str, kept: Sequence[int]) -> list[str]:
    """The source of each record that has examples, in order."""
    return [source_of(data, split, index) for index in kept] if data.mixture else []


def by_source(results: Sequence[Result], names: Sequence[str], task, records: Sequence, *, seed: int, resamples: int) -> dict:
    """Source -> contestant -> {value, low, high, n} of the headline figure on its test rows."""
    found: dict[str, dict] = {}
    for name in dict.fromkeys(names):
        at = [index for index, owner in enumerate(names) if owner == name]
        found[name] = {
            result.name: figures(task.score([result.answers[index] for index in at], [records[index] for index in at])[task.headline], seed, resamples) for result in results
        }
    return found


def figures(metric: Metric, seed: int, resamples: int) -> dict:
    """A figure with its interval, JSON."""
    ends = interval(metric, resamples=resamples, seed=seed)
    return {"value": ends.value, "low": ends.low, "high": ends.high, "n": len(metric)}
