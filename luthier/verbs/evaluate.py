"""`eval`: the contestants of a finished run answer its test rows again; gates turn the figures into a pass or a fail."""
import time
from collections.abc import Sequence

import numpy as np

from luthier.data.dataset import DataSet
from luthier.errors import DataError
from luthier.evaluation import gates as gating
from luthier.evaluation.contestants import after_training
from luthier.evaluation.probes.general import texts
from luthier.evaluation.probes.registry import chosen
from luthier.evaluation.report import write_report
from luthier.evaluation.results import Result
from luthier.files import digest, read_json, write_json
from luthier.runs.events import Say, silent
from luthier.verbs.children import joined, measured_again
from luthier.verbs.comparing import chosen_rows, compare, conclude
from luthier.verbs.harness import ask, refuse_unready
from luthier.verbs.leading import asked_as_trained, without_twice
from luthier.verbs.materials import gather
from luthier.verbs.opening import Opened, open_run
from luthier.verbs.probing import examine, keep, model_of
from luthier.verbs.probing import sweep as swept
from luthier.verbs.results import RunResult
from luthier.verbs.stages import DEMONSTRATION, embedder, respond_with
from luthier.verbs.stopping import Stopping
from luthier.verbs.winning import Beside, as_written
from luthier.verbs.work import Work

SWEPT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of the way from base to tuned that a sweep looks at."""


def evaluate(run: str, *, gates: Sequence[str] = (), gates_max: Sequence[str] = (), probes: Sequence[str] = (), sweep: bool = False, harness: Sequence[str] = (), say: Say = silent) -> RunResult:
    """Measure a run again on its own test rows, nothing cached; gates are written `metric=value`.

    `probes` names what else is examined (`all` for everything); a gate on a probe's figure runs its probe. `sweep` mixes the weights of base and
    tuned model in several shares; `harness` names tasks of lm-evaluation-harness. Returns the verdict, with `gates: [{metric, value, bound, at_most, passed}]`, `probes` and `sweep`.
    """
    began = time.perf_counter()
    limits = [gating.parse(text) for text in gates] + [gating.parse(text, at_most=True) for text in gates_max]
    examined = chosen(probes, [gate.metric for gate in limits])
    base = open_run(run, say, tuned=False)
    if harness:
        refuse_unready(base.recipe)
    data, task, recipe = DataSet(base.run.data_folder), base.task, base.recipe
    records = chosen_rows(data.records("test"), recipe.evaluation.max_rows)
    if not records:
        raise DataError(f"{base.run.name} has no test rows", code="D402", hint="train with data.test=10%")
    train, validation = data.records("train"), data.records("validation")
    shared = {"train": train, "seed": recipe.seed, "fingerprint": digest("again", str(time.time_ns())), "say": say}
    names = [name for name in recipe.evaluation.contestants if name not in ("tuned", "scratch")]

    def others(opened, given: Sequence[str]) -> dict:
        embed = embedder(opened.language_model, opened.renderer)
        return gather(given, recipe, opened.task, opened.language_model, opened.renderer, train=train, validation=validation, embed=embed, folder=base.run.path / "retrieval", say=say).values

    with base.run.lock():
        first = [name for name in names if not after_training(name)]
        results = compare(
            base.run, task, recipe.evaluation, records, names=first, **shared, base=respond_with(task, base.language_model, base.renderer, say),
            embed=embedder(base.language_model, base.renderer), **others(base, first),
        )
        beside = Beside(base.run, recipe, task, base.renderer, records, say)
        beside.check()
        beside.of_base(base.language_model, shared["fingerprint"])
        tuned = open_run(run, say)
        last = ["tuned", *without_twice([name for name in names if after_training(name)], tuned.leading, say)]
        results |= compare(base.run, task, recipe.evaluation, records, names=last, tuned=asked_as_trained(respond_with(tuned.task, tuned.language_model, tuned.renderer, say), tuned.leading), **shared, **others(tuned, last))
        every = again_over_seeds(base, results["tuned"], say)
        results["tuned"] = joined(every)
        verdict = conclude(
            base.run, task, recipe.evaluation, list(results.values()), records, test_split=digest(*(task.identity(record) for record in records)),
            notice=DEMONSTRATION if recipe.model == "spruce" else "", seed=recipe.seed,
            beside=beside.of_tuned(tuned.language_model, shared["fingerprint"], results),
        )
        more = lost(base, tuned, results, train, records, validation, examined, sweep, say, others=[one.answers for one in every[1:]])
        if harness:
            more["probes"] = [*more.get("probes", []), *keep(base.run, ask(base, harness, limit=recipe.evaluation.max_rows, say=say))]
        write_report(base.run.path)
    figures = read_json(base.run.evaluation_folder / "results.json")["contestants"]["tuned"]
    values = {name: found["value"] for name, found in figures["metrics"].items()} | {"seconds_per_answer": figures["seconds_per_answer"]}
    values |= {one["name"]: one["value"] for one in more.get("probes", [])}
    checked = gating.check(limits, values)
    more |= {"gates": checked} if checked else {}
    return RunResult(base.run.name, str(base.run.path), base.run.status(), time.perf_counter() - began, verdict, more)


def again_over_seeds(base: Opened, first: Result, say: Say) -> list[Result]:
    """The tuned contestant of each seed of the run: the spread between them belongs into the interval as it did after training."""
    if base.recipe.evaluation.seeds == 1:
        return [first]
    with Stopping() as stopping:
        return measured_again(Work(base.run, base.recipe, say, stopping), first)


def lost(base: Opened, tuned: Opened, results: dict, train: Sequence, test: Sequence, validation: Sequence, names: Sequence[str], sweep: bool, say: Say, others: Sequence = ()) -> dict:
    """What probes found and what a sweep of weights gives, where they were asked for."""
    more: dict = {}
    if names:
        if (written := as_written(base, tuned, train, test, say)) is not None:
            before, after, train, test, answers = written
            others = ()
        else:
            own = results["base"].answers if "base" in results else respond_with(base.task, base.language_model, base.renderer, say)(test)
            before, after, answers = base, tuned, (own, results["tuned"].answers)
        found = examine(before, after, names, train=train, held_out=test, answers=answers, others=others, say=say)
        more["probes"] = [one.to_dict() for one in found]
    if sweep:
        passages = texts(base.recipe.evaluation.probes.general)
        before = np.array(model_of(base, say).nats(passages))
        more["sweep"] = swept(
            base, tuned, validation=chosen_rows(validation, base.recipe.training.validation_rows), weights=SWEPT, say=say,
            forgetting=lambda model: float(np.sum(model.nats(passages)) / before.sum() - 1),
        )
        write_json(base.run.evaluation_folder / "sweep.json", more["sweep"])
    return more
