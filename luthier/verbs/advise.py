"""`advise`: small pilots within a time budget, and an answer before the full run: what to use, and what tuning would bring with all of the data.

Pilots are judged on validation rows; test rows stay unseen. A learning curve through pilots on parts of the training rows forecasts the
figure with all of them; a later `train` on the same data writes down whether the forecast held.
"""
import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from luthier.errors import DataError
from luthier.evaluation.decision import margin_of
from luthier.evaluation.learning_curve import Pilot, forecast, worth
from luthier.evaluation.report import write_report
from luthier.evaluation.statistics import interval
from luthier.evaluation.wording import figure, metric_words
from luthier.files import write_json
from luthier.models.catalogue import choose
from luthier.models.machine import machine
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.runs.folder import Run
from luthier.verbs.comparing import chosen_rows
from luthier.verbs.results import Answered
from luthier.verbs.stages import open_recipe, respond_with
from luthier.verbs.stopping import Stopping
from luthier.verbs.work import Work

SHARES = (0.1, 0.25, 0.5)
MOST_ROWS = 100
"""Validation rows that every pilot answers."""


def advise(target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, minutes: float = 10.0, say: Say = silent) -> Answered:
    """Returns `{run, folder, base, metric, untrained, pilots, forecast, worth, strategy, seconds, sentence}`.

    `base`: {name, chosen, why}: the base of the pilots, and which the catalogue would take for this task, machine and network. `untrained`: name -> figure of who needs no training; `pilots`: [{share, rows, value, low, high, seconds}]; `forecast`: {rows, value, low, high} with
    all training rows, an 80 % band; `worth`: what half as many rows again would add.
    """
    began = time.perf_counter()
    recipe, origins = open_recipe(target, overrides, say)
    recipe, base = with_base(recipe, origins, say)
    run = runs.create("", stem="advice")
    with run.lock(), Stopping() as stopping:
        run.update(status="running")
        work = Work(run, recipe, say, stopping)
        work.prepare()
        work.test = chosen_rows(work.records("validation"), MOST_ROWS)
        if not work.test:
            raise DataError("advice needs validation rows", code="D402", hint="set data.validation to a share such as 10%")
        untrained = work.baselines()
        pilots = piloted(work, began + 60 * minutes, say)
        found = concluded(work, untrained, pilots)
        run.update(status="done")
    found = {"run": run.name, "folder": str(run.path), "base": base, **found, "seconds": round(time.perf_counter() - began, 1)}
    write_json(run.path / "advice.json", {**found, "data": work.data.fingerprint, "model": recipe.model, "method": recipe.method.name})
    write_report(run.path)
    return Answered(found)


def with_base(recipe, origins: Mapping, say: Say) -> tuple:
    """The recipe on a base of the catalogue where nobody named one; else as it is. With {name, chosen, why}."""
    here = machine()
    chosen, why = choose(recipe.task.name, accelerator=here.accelerator, memory_free=here.accelerator_free if here.accelerator else here.memory_free)
    named = "model" in origins and origins["model"].kind != "auto"
    if not named:
        recipe = dataclasses.replace(recipe, model=chosen)
        say(Event("note", why))
    elif chosen not in (recipe.model, "spruce"):
        say(Event("note", f"the pilots are on {recipe.model}, as the recipe says; of the catalogue it would be {why.removeprefix('model ')}"))
    return recipe, {"name": recipe.model, "chosen": chosen, "why": why}


def piloted(work: Work, until: float, say: Say) -> list[dict]:
    """Trainings on growing parts of the rows, as many as the time allows; at least one."""
    found: list[dict] = []
    for share in SHARES:
        left = until - time.perf_counter()
        if found and found[-1]["seconds"] * share / found[-1]["share"] > left:
            say(Event("note", f"no time for a pilot on {share:.0%} of the rows: the last one took {found[-1]['seconds']:.0f} s, and {max(0, left):.0f} s are left"))
            break
        started = time.perf_counter()
        evaluation = dataclasses.replace(work.recipe.evaluation, contestants=["tuned"], seeds=1)
        recipe = dataclasses.replace(work.recipe, evaluation=evaluation, training=scaled(work.recipe.training, share))
        pilot = Work(Run(work.run.path / f"pilot-{round(100 * share)}"), recipe, work.say, work.stopping, share=share)
        pilot.trained()
        pilot.test = work.test
        result = pilot.compare(["tuned"], tuned=respond_with(pilot.task, pilot.language_model, pilot.renderer, say))["tuned"]
        metric = result.metrics[pilot.task.headline]
        ends = interval(metric, resamples=500, seed=recipe.seed)
        found.append({"share": share, "rows": len(pilot.tokens.stores["train"]), "value": metric.value, "low": ends.low, "high": ends.high, "seconds": time.perf_counter() - started})
        say(Event("note", f"pilot on {share:.0%} of the rows: {pilot.task.headline} {metric.value:.3f} in {found[-1]['seconds']:.0f} s", {"share": share, "value": metric.value}))
    return found


def scaled(training, share: float):
    """Looks and saves come as much oftener as the steps become fewer."""
    every = max(1, round(training.evaluate_every * share))
    return dataclasses.replace(training, evaluate_every=every, save_every=every, max_steps=None if training.max_steps is None else max(1, round(training.max_steps * share)))


def concluded(work: Work, untrained: dict, pilots: list[dict]) -> dict:
    """The forecast, what more rows are worth, and the advice."""
    headline, rows = work.task.headline, len(work.tokens.stores["train"])
    metrics = {name: result.metrics[headline] for name, result in untrained.items() if headline in result.metrics}
    higher = next(iter(metrics.values())).higher_is_better if metrics else True
    best = max(metrics, key=lambda name: metrics[name].value if higher else -metrics[name].value) if metrics else None
    measured = [Pilot(one["rows"], one["value"], max(1e-6, (one["high"] - one["low"]) / 3.92)) for one in pilots]
    top = 100.0 if headline == "chrf" else 1.0
    full = more = None
    if len(measured) > 1:
        expected = forecast(measured, [rows], higher_is_better=higher, best=top, seed=work.recipe.seed)[0]
        gain, half = worth(measured, rows, rows // 2, higher_is_better=higher, best=top, seed=work.recipe.seed)
        full, more = dataclasses.asdict(expected), {"rows": rows // 2, "gain": gain, "half": half}
    strategy, sentence = advice(headline, metrics, best, higher, pilots, full, more, work)
    return {
        "metric": headline, "untrained": {name: metric.value for name, metric in metrics.items()}, "pilots": pilots, "forecast": full, "worth": more,
        "strategy": strategy, "sentence": sentence,
    }


def advice(headline: str, metrics: dict, best: str | None, higher: bool, pilots: list[dict], full: dict | None, more: dict | None, work: Work) -> tuple[str, str]:
    """(what to do, in words): tune where even the low end of the forecast beats who needs no training by more than the margin."""
    words = metric_words(headline)
    if full is None:
        return "undecided", f"The time was enough for one pilot only ({words} {figure(pilots[-1]['value'], headline)}), so there is no forecast: give more minutes"
    expected = f"{words} {figure(full['value'], headline)} with all {full['rows']:,} rows (80 % band {figure(full['low'], headline)} to {figure(full['high'], headline)})"
    grows = f"; {more['rows']:,} rows more are worth {figure(more['gain'], headline, signed=True)} ± {figure(more['half'], headline)}"
    how = f"{work.recipe.method.name} on {work.recipe.model}"
    if best is None:
        return "tune", f"Expect {expected} from {how}{grows}"
    other, sign = metrics[best].value, 1 if higher else -1
    margin = margin_of(work.recipe.evaluation.margin, headline, other, higher)
    worst, likeliest = (full["low"], full["high"]) if higher else (full["high"], full["low"])
    if sign * (worst - other) > margin:
        return "tune", f"Fine-tune: expect {expected} from {how}, and {best}, the best without training, has {figure(other, headline)}{grows}"
    if sign * (likeliest - other) <= margin:
        return best, f"Do not fine-tune: {best} has {figure(other, headline)} already, and {how} can be expected to reach {expected}{grows}"
    return "undecided", f"Not clear yet: {best} has {figure(other, headline)} without training, and {how} can be expected to reach {expected}; only the full run will tell{grows}"
