"""A training run from data to verdict, stage by stage: baselines, steps, answers, save-and-reload check; every stage leaves its part in the run's folder, so that any can be resumed."""
import dataclasses
import platform
import resource
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch

import luthier
from luthier import settings
from luthier.errors import RecipeError, WorkFailed
from luthier.evaluation.contestants import after_training
from luthier.evaluation.hacking import Suspicion
from luthier.evaluation.planning import minimum_detectable
from luthier.evaluation.report import write_card, write_report
from luthier.files import digest, staged_folder, write_file, write_json
from luthier.methods.targets import new_weights
from luthier.models.card import card_facts
from luthier.models.energy import joules, used
from luthier.models.freshcheck import fresh_check
from luthier.models.head_start import probe_start
from luthier.models.heads import Settling
from luthier.models.load import facts
from luthier.models.machine import machine
from luthier.models.packing import keeps_apart
from luthier.objectives.anchors import anchored, switched_off
from luthier.objectives.materials import Materials, starting_model, whole
from luthier.preparation.checks import check_tokens
from luthier.preparation.part import part_of
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say
from luthier.runs.folder import Run
from luthier.tasks.task import Calibrating, Guarded, Noising
from luthier.training import checkpoint, quantised
from luthier.verbs import children, forecasts
from luthier.verbs.comparing import chosen_rows, compare, conclude
from luthier.verbs.kinds import answered, compared, held_out
from luthier.verbs.leading import asked_as_trained, leading, without_twice
from luthier.verbs.lending import same_asking
from luthier.verbs.materials import gather
from luthier.verbs.mixing import mixed
from luthier.verbs.money import own_cost, read_providers
from luthier.verbs.pairs import refuse_illegal
from luthier.verbs.plan import forecast
from luthier.verbs.recipe import Recipe
from luthier.verbs.resolve import total_steps
from luthier.verbs.sources import by_source, sources_of, validation_parts, weighed
from luthier.verbs.stages import (
    DEMONSTRATION,
    embedder,
    load_base,
    multiples,
    prepare_tokens,
    read_data,
    refuse_unlearnable,
    renderer_of,
    respond_with,
    room_for_text,
    settle,
    task_with,
)
from luthier.verbs.stopping import Stopping
from luthier.verbs.training import Look, Trainer, load_best, order_of
from luthier.verbs.vetting import refuse, vet
from luthier.verbs.winning import Beside

CALIBRATED_ON = 2000
"""Most validation rows by which confidence is fitted."""
AS_BEFORE = (("training.group_by_length", True),)
"""Values that stand for what every run did before there was the key, so that those runs go on."""
NOT_IDENTITY = ("training.save_every", "training.keep_checkpoints", "evaluation.", "retrieval.", "tracking.", "data.")
"""Recipe keys that may differ on resume: they do not touch the weights; the data speaks through its fingerprint."""


def versions() -> dict:
    """What the run was made with."""
    return {"luthier": luthier.__version__, "python": platform.python_version(), **{name: metadata.version(name) for name in ("torch", "transformers", "peft", "tokenizers")}}


class Work:
    """One run being worked on, stage by stage."""

    def __init__(self, run: Run, recipe: Recipe, say: Say, stopping: Stopping, *, scratch_seed: int | None = None, share: float = 1.0, allowed: Sequence[str] = (), start: Path | None = None):
        self.run, self.recipe, self.say, self.stopping, self.scratch_seed, self.share, self.allowed = run, recipe, say, stopping, scratch_seed, share, allowed
        self.start = start

    def go(self, *, resuming: bool) -> dict:
        began, energy = time.perf_counter(), joules()
        self.prepare()
        self.kinds = held_out(self.recipe.data, self.task, self.run.path / "held-out", self.records("train"), self.say)
        before, kinds_before = self.baselines(), self.kinds_answered("base")
        self.tune(resuming)
        best_step = load_best(self.run, self.parameters, self.say)
        self.settle()
        verdict = self.judge(before)
        if self.kinds:
            options = {"seed": self.recipe.seed, "resamples": self.recipe.evaluation.resamples}
            self.run.update(held_out=compared(self.kinds, kinds_before, self.kinds_answered("tuned"), headline=self.task.headline, say=self.say, **options))
        self.keep_model(best_step)
        cost = {"seconds": round(time.perf_counter() - began, 2), "tokens": self.tokens_read(), "threads": torch.get_num_threads(), "energy_joules": used(energy, joules())}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        steps = self.seconds_of_steps()
        spent = own_cost(read_providers(), steps, None if cost["energy_joules"] is None else cost["energy_joules"] * steps / max(steps, cost["seconds"]))
        self.run.update(status="done", phase="done", seconds=cost["seconds"], cost=cost, measured={"memory_bytes": peak, "training_seconds": steps, "seconds": cost["seconds"], **spent}, error=None)
        write_report(self.run.path)
        self.say(Event("done", f"report {self.run.path}/report.html"))
        return verdict

    # ---- before -------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Data, base, tokens, numbers for every auto; all written down before anything is learned."""
        recipe, run = self.recipe, self.run
        here, base = machine(), facts(recipe.model)
        refuse_illegal(recipe.lesson, recipe.method, base)
        recipe.method.ready()
        quantised.ready(recipe.training.optimizer)
        base = dataclasses.replace(base, context=room_for_text(recipe.method, base.context))
        self.say(Event("note", base.sentence))
        self.data = read_data(recipe, run.data_folder, self.say)
        write_json(run.data_folder.parent / "doctor.json", {"findings": vet(self.data, recipe.data.accept, self.say)})
        precision = recipe.training.precision
        if precision == "auto":
            precision = "bf16" if here.bf16 else "fp32"
        self.language_model = load_base(recipe, base, self.data.labels, precision, self.say, scratch_seed=self.scratch_seed)
        self.renderer = renderer_of(self.language_model, recipe.lesson.head(base.kind), self.say, recipe.data.when_long)
        task = task_with(recipe.lesson, self.data.labels, self.data.summary, 0, self.say)
        self.leading = leading(
            recipe.retrieval, task, self.renderer, self.language_model.context, train=self.data.records("train") if recipe.retrieval.in_training else [],
            embed=embedder(self.language_model, self.renderer), folder=run.path / "retrieval" / "vectors", key=self.language_model.fingerprint, say=self.say,
        )
        led = {"led": self.leading.records, "led_key": self.leading.key} if self.leading else {}
        self.tokens = prepare_tokens(self.data, task, self.renderer, run.tokens_folder, self.say, **led)
        refuse([one.to_dict() for one in check_tokens(self.tokens.stores, self.renderer, least=recipe.data.min_learned_share)])
        self.tokens = weighed(recipe.data, self.data, self.tokens, objective=recipe.objective.name, seed=recipe.seed, say=self.say)
        self.sources_key = self.tokens.stores["train"].key if self.data.mixture else ""
        self.mixed = mixed(recipe.data, self.tokens, task, self.renderer, objective=recipe.objective.name, folder=run.path / "mixed", seed=recipe.seed, say=self.say)
        self.tokens = self.mixed.tokens
        if self.share < 1:
            self.tokens.stores["train"] = part_of(self.tokens.stores["train"], self.share, recipe.seed)
        write_json(run.data_folder.parent / "ledger.json", self.tokens.ledger)
        refuse_unlearnable(self.tokens, recipe.data.min_learned_share)
        self.recipe, reasons = settle(recipe, base, self.tokens, here, len(self.data.mixture) or 1)
        self.task = task_with(recipe.lesson, self.data.labels, self.data.summary, self.recipe.evaluation.max_new_tokens)
        torch.set_num_threads(self.recipe.training.threads)
        self.write_recipe(reasons)
        run.update(planned=self.planned(base, here))
        self.test = chosen_rows(self.records("test"), self.recipe.evaluation.max_rows)
        run.update(
            seed=recipe.seed, versions=versions(), machine=vars(here), task=recipe.task.name, head=self.renderer.head, method=recipe.method.name, objective=recipe.objective.name,
            data={"fingerprint": self.data.fingerprint, "file": recipe.data.train or " + ".join(recipe.data.sources.values()), "rows": {split: self.data.count(split) for split in ("train", "validation", "test")}},
            model={"name": recipe.model, "fingerprint": self.language_model.fingerprint, "parameters": base.parameters, "kind": base.kind, **card_facts(self.language_model.folder)},
            loads_in=self.recipe.method.loads_in(),
        )

    def planned(self, base, here) -> dict:
        """What plan would have said, kept so that the report can hold it against what happened; nothing where it cannot be reckoned."""
        try:
            store = self.tokens.stores["train"]
            order = order_of(store, self.recipe.training, self.recipe.seed, self.language_model.context)
            with torch.random.fork_rng(devices=[]):  # shapes are made with a method's own start, and no draw may be missing afterwards
                expected = forecast(self.recipe, base, self.data.labels, order, int(store.lengths.max()), store.tokens, here)
        except Exception as error:  # a forecast is an extra: whatever goes wrong in it must not stop a training
            self.say(Event("note", f"no forecast: {type(error).__name__}", {"detail": True}))
            return {}
        seconds = expected["time"]["seconds"]
        return {"memory_bytes": expected["memory"].total, "training_seconds": round(seconds, 2), **own_cost(read_providers(), seconds)}

    def records(self, split: str) -> list:
        """The records of a split that have examples."""
        if split not in self.tokens.kept:
            return []
        every = self.data.records(split)
        return [every[index] for index in self.tokens.kept[split]]

    def write_recipe(self, reasons: dict[str, str]) -> None:
        text = settings.to_yaml(self.recipe)
        write_file(self.run.path / "config.resolved.yaml", text)
        mapping = settings.to_mapping(self.recipe)
        flat = settings.flatten(mapping)
        self.run.update(resolved={key: {"value": flat[key], "reason": reason} for key, reason in reasons.items() if key in flat})
        for key, reason in reasons.items():
            self.say(Event("note", f"{key} = {flat.get(key)}: {reason}", {"key": key, "value": flat.get(key), "reason": reason}))

    def compare(self, names, **models) -> dict:
        """These contestants on the test rows."""
        model = self.language_model
        others = gather(
            names, self.recipe, self.task, model, self.renderer, train=self.records("train"), validation=self.records("validation"),
            embed=embedder(model, self.renderer), folder=self.run.path / "retrieval", say=self.say,
        )
        trained = str(checkpoint.pointed(self.run.path, "best")) if any(after_training(name) for name in names) else ""
        asking = ""
        if self.recipe.evaluation.reuse and self.share == 1 and self.scratch_seed is None:
            asking = same_asking(self.recipe, self.task, self.data.fingerprint, model, others.key, versions())
        return compare(
            self.run, self.task, self.recipe.evaluation, self.test, names=names, train=self.records("train"), seed=self.recipe.seed,
            fingerprint=digest(self.data.fingerprint, model.fingerprint, trained, others.key, str(self.recipe.evaluation.max_new_tokens)), say=self.say, asking=asking, **models, **others.values,
        )

    def baselines(self) -> dict:
        """Everyone who needs no training answers first, so that the aim is known before a step is made."""
        if not self.test:
            self.say(Event("warning", "there is no test row: the run ends without a verdict", {"code": "D402", "step": 0}))
            return {}
        self.beside = Beside(self.run, self.recipe, self.task, self.renderer, self.test, self.say)
        self.beside.check()
        names = [name for name in self.recipe.evaluation.contestants if not after_training(name)]
        respond = respond_with(self.task, self.language_model, self.renderer, self.say)
        found = self.compare(names, base=respond, embed=embedder(self.language_model, self.renderer))
        for result in found.values():
            metric = result.metrics.get(self.task.headline)
            if metric is not None:
                self.say(Event("note", f"{result.name}: {self.task.headline} {metric.value:.3f} on {len(self.test):,} test rows", {"contestant": result.name, "value": metric.value}))
        smallest = minimum_detectable([result.metrics[self.task.headline] for result in found.values()])
        if smallest is not None:
            self.say(Event("note", f"{len(self.test):,} test rows can show a difference in {self.task.headline} of about {smallest:.3f} or more", {"minimum_detectable": smallest}))
            self.run.update(minimum_detectable=smallest)
        self.beside.of_base(self.language_model, digest(self.data.fingerprint, self.language_model.fingerprint))
        return found

    def kinds_answered(self, who: str) -> dict:
        """What the model of the moment makes of the kinds of task that are held out."""
        trained = str(checkpoint.pointed(self.run.path, "best")) if who == "tuned" else ""
        key = digest(self.language_model.fingerprint, trained, str(self.recipe.evaluation.max_new_tokens))
        return answered(self.kinds, self.run, self.task, self.language_model, self.renderer, who=who, key=key, say=self.say)

    # ---- the stretch --------------------------------------------------------------------------
    def tune(self, resuming: bool) -> None:
        """Apply the method and make the steps."""
        going_on = resuming and bool(checkpoint.all_checkpoints(self.run.path))
        per_epoch, training, model = self.apply(going_on=going_on), self.recipe.training, self.language_model
        self.suspicion = Suspicion(self.run.path / "first_look.json", self.task.headline, self.say)
        self.trainer = trainer = Trainer(
            self.run, self.network, self.parameters, self.objective, training, multiples=multiples(model, self.parameters, training), steps=total_steps(training, per_epoch), steps_per_epoch=per_epoch, seed=self.recipe.seed,
            identity=self.identity(), look=Look(self.validation_loss, self.validation_scores), headline=self.task.headline, say=self.say,
        )
        self.say(Event("phase", f"training {sum(tensor.numel() for tensor in self.parameters.values()):,} of {model.num_parameters:,} weights", {"name": "training"}))
        if going_on:
            trainer.resume(self.allowed)
        elif resuming:
            self.run.keep_rows("metrics.jsonl", lambda row: False)
        trainer.go(self.stopping)
        if self.run.lost_rows:
            self.say(Event("warning", f"{self.run.lost_rows:,} rows of the run's logs could not be written; weights and checkpoints are whole", {"code": "F106", "step": trainer.state.step}))
        self.objective.finish(self.network)
        self.run.update(steps=trainer.state.step, updates=trainer.state.updates, nonfinite_steps=trainer.state.nonfinite_steps, best_step=trainer.state.best_step)

    def apply(self, *, going_on: bool = False) -> int:
        """Inject what is learned, and prepare what is minimised; returns the steps of one pass over the data. `going_on`: a checkpoint's weights follow."""
        recipe, model = self.recipe, self.language_model
        torch.manual_seed(recipe.seed)
        self.network = model.network = recipe.method.apply(model)
        if recipe.training.packing and not keeps_apart(model):
            raise RecipeError(
                f"training.packing puts several texts in one row, and in a {model.family.name} network they would see each other", code="R158", field="training.packing",
                hint="leave training.packing out: rows of like length side by side waste little",
            )
        if isinstance(model.head, Settling):
            model.head.fit(self.tokens.stores["train"].values[:, 0], self.network)
        if recipe.training.gradient_checkpointing:
            self.network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            self.network.enable_input_require_grads()
        self.given = self.materials()
        objective, training = recipe.objective.prepared(self.given), recipe.training
        self.parameters = {name: tensor for name, tensor in self.network.named_parameters() if tensor.requires_grad}
        if self.start is None and (training.l2_to_start or not going_on):
            self.start_head()
        if self.start is not None:
            checkpoint.load_weights(self.parameters, checkpoint.tensors_of(self.start)[0], self.start)
        self.objective = anchored(
            objective, head=model.head, network=self.network, l2=training.l2_to_start, kl=training.kl_to_base,
            reference=switched_off(recipe.method, self.network) if recipe.method.base_is_frozen else None,
        )
        return self.objective.steps_per_epoch

    def start_head(self) -> None:
        """A new output layer starts at the linear probe of the base, unless the recipe wants it random."""
        given, training = self.given, self.recipe.training
        if training.head_start != "probe" or not new_weights(self.language_model, self.parameters):
            return
        order = whole(given.stores["train"].lengths, 4 * training.tokens_per_micro_batch, self.language_model.context)
        if sentence := probe_start(self.network, self.language_model.head, order, lambda rows: given.batch("train", rows)):
            self.say(Event("note", sentence))

    def identity(self) -> dict:
        """What must be the same for a checkpoint to be continued."""
        flat = settings.flatten(settings.to_mapping(self.recipe))
        fields = {key: value for key, value in flat.items() if not key.startswith(NOT_IDENTITY) and (key, value) not in AS_BEFORE}
        return {**fields, "data": self.data.fingerprint, "base": self.language_model.fingerprint, "mixed": self.mixed.key, **({"sources": self.sources_key} if self.sources_key else {}), "led": self.leading.key if self.leading else "", "share": self.share, "torch": torch.__version__}

    def materials(self) -> Materials:
        """What the objective works with."""
        recipe, training = self.recipe, self.recipe.training
        return Materials(
            self.language_model, {split: self.tokens.stores[split] for split in ("train", "validation") if split in self.tokens.stores}, batch_size=training.batch_size,
            tokens_per_micro_batch=training.tokens_per_micro_batch, seed=recipe.seed, packing=training.packing, group_by_length=training.group_by_length, reference=starting_model(recipe.method, self.language_model),
            noise=self.task.noise(self.renderer, recipe.seed) if isinstance(self.task, Noising) else None,
            folder=self.run.path, kept=runs.runs_root() / ".kept", task=self.task, renderer=self.renderer, records=self.data.records, say=self.say,
        )

    def validation_loss(self, scores: dict) -> tuple[float, float]:
        """Summed loss and count over the validation split; of a mixture the mean loss of each source stands among the scores too."""
        stores = self.given.stores
        parts = validation_parts(self.data, stores["validation"]) if "validation" in stores else {}
        if not parts:
            return self.objective.validation(self.network, scores)
        whole, total, count = stores["validation"], 0.0, 0.0
        try:
            for name, part in parts.items():
                stores["validation"] = part
                loss, learned = self.objective.validation(self.network, dict(scores))
                total, count, scores[f"loss of {name}"] = total + loss, count + learned, loss / (learned or 1.0)
        finally:
            stores["validation"] = whole
        return total, count

    def validation_scores(self) -> dict[str, float]:
        rows = chosen_rows(self.records("validation"), self.recipe.training.validation_rows)
        if not rows:
            return {}
        answers = self.task.answers(self.language_model, self.renderer, self.leading.records(rows) if self.leading else rows)
        metrics = self.task.score(answers, rows)
        if isinstance(self.task, Guarded):
            self.suspicion.look(self.trainer.state.step, metrics, self.task.guards(metrics))
        return {name: metric.value for name, metric in metrics.items()}

    def seconds_of_steps(self) -> float:
        """Seconds of all steps, looks and checkpoints left out."""
        return round(sum(row["seconds"] for row in self.run.rows("metrics.jsonl") if row["kind"] == "train"), 2)

    def tokens_read(self) -> int:
        return sum(row["tokens"] for row in self.run.rows("metrics.jsonl") if row["kind"] == "train")

    def settle(self) -> None:
        """What follows once the weights are final: outputs get their own unit, and confidence is fitted on validation rows."""
        if isinstance(self.language_model.head, Settling):
            self.language_model.head.settle(self.network)
        if isinstance(self.task, Calibrating):
            facts = self.task.calibration(self.language_model, self.renderer, chosen_rows(self.records("validation"), CALIBRATED_ON), say=self.say)
            self.task = self.task.calibrated(facts)
            self.run.update(calibration=facts)
            if facts:
                self.say(Event("note", facts["sentence"], facts))

    # ---- after --------------------------------------------------------------------------------
    def judge(self, before: dict) -> dict | None:
        """The tuned model answers the test rows, once, and is compared."""
        if not self.test:
            return None
        names = [name for name in self.recipe.evaluation.contestants if after_training(name) and name != "tuned"]
        respond = asked_as_trained(respond_with(self.task, self.language_model, self.renderer, self.say), self.leading)
        names = without_twice(names, self.leading, self.say)
        tuned = self.compare(["tuned", *names], tuned=respond, scratch=lambda: children.scratch(self))
        tuned = {name: dataclasses.replace(one, setup_seconds=one.setup_seconds + self.seconds_of_steps()) if name != "scratch" else one for name, one in tuned.items()}
        best = digest(self.data.fingerprint, self.language_model.fingerprint, str(checkpoint.pointed(self.run.path, "best")))
        beside = self.beside.of_tuned(self.language_model, best, {**before, **tuned})
        tuned["tuned"] = children.over_seeds(self, tuned["tuned"])
        if owners := chosen_rows(sources_of(self.data, "test", self.tokens.kept.get("test", [])), self.recipe.evaluation.max_rows):
            self.run.update(by_source=by_source([*before.values(), *tuned.values()], owners, self.task, self.test, seed=self.recipe.seed, resamples=self.recipe.evaluation.resamples))
        told = self.compare_with_forecasts(tuned["tuned"].metrics[self.task.headline].value)
        notice = "; ".join([*([DEMONSTRATION] if self.recipe.model == "spruce" else []), *told])
        return conclude(
            self.run, self.task, self.recipe.evaluation, [*before.values(), *tuned.values()], self.test,
            test_split=digest(*(self.task.identity(record) for record in self.test)), notice=notice, seed=self.recipe.seed, beside=beside,
        )

    def compare_with_forecasts(self, value: float) -> list[str]:
        """What earlier advice expected of this run, and what it became; returns what more rows are worth, for the verdict."""
        found = forecasts.checked(value, data=self.data.fingerprint, model=self.recipe.model, method=self.recipe.method.name)
        if found:
            self.run.update(forecasts=found)
        for one in found:
            self.say(Event("note", forecasts.sentence(one), one))
        return [forecasts.more_rows(one) for one in found[:1] if one["worth"]]

    def child(self, place: str, *, scratch_seed: int | None = None, start: Path | None = None, **changes) -> "Work":
        """A training of its own in a folder below this run: the same recipe but for what changes, and no contestants. `start`: the checkpoint whose weights it begins with."""
        evaluation = dataclasses.replace(self.recipe.evaluation, contestants=["tuned"], seeds=1)
        child = Work(Run(self.run.path / place), dataclasses.replace(self.recipe, evaluation=evaluation, **changes), self.say, self.stopping, scratch_seed=scratch_seed, start=start)
        child.trained()
        child.settle()
        return child

    def trained(self) -> int:
        """Prepare, tune and keep the best, without a verdict; what was done before is not done again."""
        self.run.path.mkdir(parents=True, exist_ok=True)
        self.run.update(status="running", name=self.run.name)
        self.prepare()
        self.tune(bool(checkpoint.all_checkpoints(self.run.path)))
        best = load_best(self.run, self.parameters, self.say)
        self.settle()
        self.run.update(status="done")
        return best

    def keep_model(self, best_step: int) -> None:
        """Write the model folder whole, then load it in a fresh process with stock libraries and compare."""
        self.say(Event("phase", "save and reload", {"name": "save and reload"}))
        with staged_folder(self.run.model_folder, step=best_step, base=self.language_model.fingerprint) as folder:
            self.recipe.method.save(self.network, self.language_model, folder)
            if isinstance(self.task, Calibrating):
                write_json(folder / runs.CALIBRATION, self.run.facts().get("calibration") or {})
        probes = [self.tokens.stores["train"][index].tokens.tolist()[:64] for index in range(min(4, len(self.tokens.stores["train"])))]
        found = fresh_check(self.network, self.language_model, self.recipe.method, self.run.model_folder, probes)
        self.run.update(reload=found)
        write_card(self.run.path)
        if not found["ok"]:
            raise WorkFailed(found["sentence"], code="X101", file=str(self.run.model_folder), hint="do not use this model; please report it with the run's log")
        self.say(Event("note", found["sentence"], found))
