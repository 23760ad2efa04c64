"""Kinds of task that are never learned, answered before and after: what instruction tuning gives beyond the tasks it was made of (FLAN, arXiv:2109.01652).

Each is asked without examples and with three of its own, the same three for every row and for both models. Rows that stand among the training rows are not asked.
"""
from collections.abc import Sequence
from pathlib import Path

from luthier.data import dataset
from luthier.data.mixture import alone
from luthier.data.settings import DataSettings
from luthier.data.split import hash_of, normalise
from luthier.errors import DataError, RecipeError
from luthier.evaluation.statistics import difference
from luthier.files import digest
from luthier.runs.events import Event, Say
from luthier.runs.folder import Run
from luthier.verbs.comparing import chosen_rows, keep_answers, read_answers
from luthier.verbs.sources import figures

MOST_ROWS = 100
"""Rows of a kind that are asked at most."""
SHOTS = 3


class Kind:
    """One data set that is held out: the rows that are asked, and the examples that may be shown."""

    def __init__(self, name: str, records: Sequence, learned: set[int], identity):
        asked = [record for record in records if hash_of(normalise(identity(record))) not in learned]
        shown = {index * len(asked) // SHOTS for index in range(SHOTS)}
        if len(asked) <= SHOTS:
            raise DataError(f"held-out data {name} has {len(asked)} rows that are not learned from; {SHOTS + 1} are the least", code="D402", field=f"data.held_out.{name}", hint="give it more rows")
        self.name, self.overlap = name, len(records) - len(asked)
        self.examples = [asked[index] for index in sorted(shown)]
        self.rows = chosen_rows([record for index, record in enumerate(asked) if index not in shown], MOST_ROWS)


def held_out(settings: DataSettings, task, folder: Path, learned: Sequence, say: Say) -> list[Kind]:
    """The kinds of a recipe; their rows are read like those of any source."""
    if settings.held_out and not task.writes:
        raise RecipeError(f"data.held_out asks kinds of task of a model that writes answers, and task {task.name} writes none", code="R201", field="data.held_out", hint="use task chat or seq2seq, or leave it out")
    keys = {hash_of(normalise(task.identity(record))) for record in learned} if settings.held_out else set()
    found = []
    for name, source in settings.held_out.items():
        own = alone(settings, source, validation=0, test=0, map={}, labels=None)
        kind = Kind(name, dataset.build(own, task=task.name, record=task.record, identity=task.identity, folder=folder / name, say=say).records("train"), keys, task.identity)
        if kind.overlap:
            say(Event("warning", f"{kind.overlap:,} rows of held-out {name} stand among the training rows and are not asked", {"code": "D401", "step": 0}))
        found.append(kind)
    return found


def answered(kinds: Sequence[Kind], run: Run, task, language_model, renderer, *, who: str, key: str, say: Say) -> dict:
    """Kind -> number of examples shown -> the headline figure of a model; answers are kept in the run's folder, so that an interrupted run goes on."""
    found: dict[str, dict] = {}
    shown = (0, SHOTS) if renderer.head == "causal" else (0,)  # an encoder-decoder reads one source and no examples
    for kind in kinds:
        for shots in shown:
            file, own = f"held-out.{kind.name}.{who}.{shots}", digest(key, kind.name, str(shots), *(task.identity(row) for row in [*kind.examples, *kind.rows]))
            run.evaluation_folder.mkdir(exist_ok=True)
            if (kept := read_answers(run, file, own)) is None:
                say(Event("phase", f"{who} answers {len(kind.rows):,} rows of held-out {kind.name}, {shots} examples shown", {"name": f"held out: {kind.name}"}))
                kept = task.answers(language_model, renderer, kind.rows, shots=[kind.examples] * len(kind.rows) if shots else None, say=say), {}
                keep_answers(run, file, own, *kept)
            found.setdefault(kind.name, {})[shots] = task.score(kept[0], kind.rows)[task.headline]
    return found


def compared(kinds: Sequence[Kind], before: dict, after: dict, *, headline: str, seed: int, resamples: int, say: Say) -> dict:
    """Kind -> {rows, metric, shots: {number: {base, tuned, change}}}; a change is signed so that more is better."""
    found = {}
    for kind in kinds:
        shots = {}
        for number, first in before[kind.name].items():
            second = after[kind.name][number]
            change = difference(second, first, resamples=resamples, seed=seed)
            shots[str(number)] = {"base": figures(first, seed, resamples), "tuned": figures(second, seed, resamples), "change": {"value": change.value, "low": change.low, "high": change.high}}
            say(Event("note", f"held out, {kind.name}, {number} examples shown: {headline} {first.value:.3f} before, {second.value:.3f} after, {change.value:+.3f} [{change.low:.3f}, {change.high:.3f}]", {"kind": kind.name, "shots": number}))
        found[kind.name] = {"rows": len(kind.rows), "left_out": kind.overlap, "metric": headline, "shots": shots}
    return found
