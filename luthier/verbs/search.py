"""`train --search`: find learning rate, rank, epochs, batch size, weight decay and dropout on validation rows, then train the best with several seeds.

Trials come from Optuna's tree-structured Parzen estimator (Bergstra et al. 2011); those that are worse than half of the others at the same look
are ended by successive halving (Jamieson and Talwalkar 2016); the first trial is the recipe as it stands. The study is a SQLite file in the run's folder, so that it can be continued.
Test rows are never looked at while searching.
"""
import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from luthier.errors import NonFinite, RecipeError, WorkFailed
from luthier.files import write_json
from luthier.models.load import facts
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.runs.folder import Run
from luthier.verbs.recipe import Recipe
from luthier.verbs.results import RunResult
from luthier.verbs.stages import default_rate, open_recipe
from luthier.verbs.stopping import Stopping
from luthier.verbs.train import train
from luthier.verbs.work import Work

BATCHES = (4, 8, 16, 32)
RANKS = (4, 8, 16, 32, 64)
RATES = (1e-5, 1e-2)
EPOCHS = 6
MOST_DECAY = 0.1
MOST_DROPOUT = 0.2


def search(
    target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, trials: int = 16, sampler: str = "tpe", halving: bool = True, seeds: int = 3, name: str = "", say: Say = silent,
) -> RunResult:
    """Search, then train with the best settings over `seeds` seeds. Returns what `train` returns, with `search: {trials, best, value, study}`.

    A run `NAME` whose folder holds a study goes on where it stopped, up to `trials` in all.
    """
    optuna = library()
    recipe, _ = open_recipe(target, overrides, say)
    run = runs.find(name) if name and (runs.runs_root() / name / "study.sqlite").exists() else runs.create(name, stem="search")
    with run.lock(), Stopping() as stopping:
        run.update(status="running")
        study = open_study(optuna, run, sampler, halving, recipe.seed)
        start_at(study, recipe)
        asked = trials - len([trial for trial in study.trials if trial.state.is_finished()])
        if asked > 0:
            study.optimize(lambda trial: one_trial(optuna, run, recipe, trial, stopping, say), n_trials=asked, catch=(NonFinite,))
        best = best_of(study)
        run.update(status="done")
    found = {"trials": len(study.trials), "best": best.params, "value": best.value, "study": str(run.path / "study.sqlite")}
    write_json(run.path / "search.json", {**found, "history": [{"number": one.number, "state": one.state.name.lower(), "value": one.value, **one.params} for one in study.trials]})
    say(Event("note", f"the best of {len(study.trials)} trials has a validation loss of {best.value:.4f}: {words(best.params)}", found))
    given = dict(overrides) if isinstance(overrides, Mapping) else dict(word.split("=", 1) for word in overrides)
    result = train(target, {**given, **settings_of(best.params), "evaluation.seeds": seeds}, stem="found", say=say)
    return dataclasses.replace(result, more={**result.more, "search": found})


def library():
    """Optuna, or how to install it."""
    try:
        import optuna
    except ImportError:
        raise RecipeError("searching needs Optuna, which is not installed", code="R196", hint="pip install -c constraints.txt '.[hpo]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_study(optuna, run: Run, sampler: str, halving: bool, seed: int):
    """The study of a run, new or continued."""
    ways = {"tpe": lambda: optuna.samplers.TPESampler(seed=seed), "random": lambda: optuna.samplers.RandomSampler(seed=seed), "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed)}
    if sampler not in ways:
        raise RecipeError(f"there is no sampler {sampler!r}", code="R196", hint=f"choose from {', '.join(ways)}")
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2) if halving else optuna.pruners.NopPruner()
    return optuna.create_study(study_name="search", storage=f"sqlite:///{run.path / 'study.sqlite'}", direction="minimize", load_if_exists=True, sampler=ways[sampler](), pruner=pruner)


def start_at(study, recipe: Recipe) -> None:
    """The first trial of a new study begins where the recipe stands, so that what is found is never worse than what was asked for; what the recipe leaves
    open is drawn, but for the rate, which is the method's own."""
    if study.trials:
        return
    training = recipe.training
    rate = training.learning_rate if training.learning_rate != "auto" else default_rate(recipe, facts(recipe.model).parameters)[0]
    given = {"training.learning_rate": min(max(rate, RATES[0]), RATES[1])}
    if training.epochs in range(1, EPOCHS + 1):
        given["training.epochs"] = float(training.epochs)
    if training.batch_size in BATCHES:
        given["training.batch_size"] = training.batch_size
    if 0 <= training.weight_decay <= MOST_DECAY:
        given["training.weight_decay"] = training.weight_decay
    method = vars(recipe.method)
    if method.get("rank") in RANKS:
        given["method.rank"] = method["rank"]
    if 0 <= method.get("dropout", -1) <= MOST_DROPOUT:
        given["method.dropout"] = method["dropout"]
    study.enqueue_trial(given)


def one_trial(optuna, run: Run, recipe: Recipe, trial, stopping: Stopping, say: Say) -> float:
    """Train with one draw of settings; every look at validation is told to the study, which may end the trial there. Returns the least loss."""
    changed = with_settings(recipe, suggested(trial, recipe))
    looks: list[float] = []

    def listen(event: Event) -> None:
        if event.kind == "step" and event.data.get("step") and event.data.get("validation") is not None:
            looks.append(event.data["validation"])
            trial.report(min(looks), len(looks))
            if trial.should_prune():
                raise optuna.TrialPruned

    work = Work(Run(run.path / "trials" / str(trial.number)), changed, listen, stopping)
    say(Event("note", f"trial {trial.number + 1}: {words(trial.params)}", {"trial": trial.number}))
    work.trained()
    finite = [look for look in looks if math.isfinite(look)]
    if not finite:
        raise WorkFailed("a search needs validation rows, and there are none", code="E150", hint="train with data.validation=10%")
    return min(finite)


def suggested(trial, recipe: Recipe) -> dict:
    """One draw, within the ranges that people use."""
    drawn = {
        "training.learning_rate": trial.suggest_float("training.learning_rate", *RATES, log=True),
        "training.epochs": trial.suggest_float("training.epochs", 1, EPOCHS, step=1),
        "training.batch_size": trial.suggest_categorical("training.batch_size", BATCHES),
        "training.weight_decay": trial.suggest_float("training.weight_decay", 0.0, MOST_DECAY),
    }
    fields = {field.name for field in dataclasses.fields(recipe.method)}
    if "rank" in fields:
        drawn["method.rank"] = trial.suggest_categorical("method.rank", RANKS)
    if "dropout" in fields:
        drawn["method.dropout"] = trial.suggest_float("method.dropout", 0.0, MOST_DROPOUT)
    return drawn


def settings_of(params: Mapping) -> dict:
    """What was drawn, as settings of a recipe."""
    return dict(params)


def with_settings(recipe: Recipe, drawn: Mapping) -> Recipe:
    """The recipe with these settings, and no contestants to ask."""
    parts = {section: {key.partition(".")[2]: value for key, value in drawn.items() if key.startswith(section + ".")} for section in ("training", "method")}
    evaluation = dataclasses.replace(recipe.evaluation, contestants=["tuned"], seeds=1)
    return dataclasses.replace(
        recipe, training=dataclasses.replace(recipe.training, keep_checkpoints=1, **parts["training"]), method=dataclasses.replace(recipe.method, **parts["method"]), evaluation=evaluation,
    )


def best_of(study):
    """The best finished trial; WorkFailed where none finished."""
    try:
        return study.best_trial
    except ValueError:
        raise WorkFailed("no trial of the search came to its end", code="E153", hint="raise --trials, or look at the recipe with luthier plan") from None


def words(params: Mapping) -> str:
    return ", ".join(f"{key.partition('.')[2]} {value:.3g}" if isinstance(value, float) else f"{key.partition('.')[2]} {value}" for key, value in params.items())
