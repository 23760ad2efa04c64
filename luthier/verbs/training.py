"""The stretch of a run in which weights change: steps, looks at validation, checkpoints, resume."""
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from luthier.errors import CheckpointError, DiskError, RecipeError, Stopped
from luthier.files import free_bytes
from luthier.objectives.loss import Objective
from luthier.preparation.order import Order
from luthier.preparation.store import TokenStore
from luthier.runs.events import Event, Say
from luthier.runs.folder import Run
from luthier.training import checkpoint, optimizer, quantised
from luthier.training.loop import Step, train
from luthier.training.schedule import Schedule, warmup_steps
from luthier.training.settings import TrainingSettings
from luthier.training.watch import Watch
from luthier.verbs.stopping import Stopping

COLUMNS = ("seconds", "tokens_per_second")
"""Columns of the log that may differ between a run and its repetition."""


def order_of(store: TokenStore, settings: TrainingSettings, seed: int, context: int) -> Order:
    """Which examples are learned at which step."""
    return Order(
        store.lengths, batch_size=settings.batch_size, tokens_per_micro_batch=settings.tokens_per_micro_batch,
        seed=seed, packing=settings.packing, context=context, group_by_length=settings.group_by_length,
    )


def optimizer_of(settings: TrainingSettings, network, trainable: dict, multiples: Mapping[str, float]):
    """The optimizer that the recipe names, over these weights of the network; those named in `multiples` learn at so many times the rate."""
    how = {"weight_decay": settings.weight_decay, "beta1": settings.beta1, "beta2": settings.beta2, "epsilon": settings.epsilon, "multiples": multiples}
    if settings.optimizer not in quantised.KINDS:
        return optimizer.adamw(trainable, **how)
    return quantised.make(settings.optimizer, trainable, exact=quantised.embeddings(network), **how)


@dataclass
class Look:
    """How validation is looked at."""

    losses: object
    """A function of the metrics: (summed loss, count) over the validation split."""
    scores: object
    """A function of no arguments: the task's metrics by name, over a part of the validation rows."""

    def __call__(self) -> tuple[float | None, dict[str, float]]:
        """Mean loss per learned token or label, and the metrics."""
        scores = self.scores()
        total, count = self.losses(scores)
        return (total / count if count else None), scores


class Trainer:
    """A training in progress: what the loop needs, what is remembered between its steps, and what is written down."""

    def __init__(self, run: Run, network, trainable: dict, objective: Objective, settings: TrainingSettings, *, multiples: Mapping[str, float], steps: int, steps_per_epoch: int, seed: int, identity: dict, look: Look, headline: str, say: Say):
        self.run, self.network, self.parameters, self.objective, self.settings = run, network, trainable, objective, settings
        self.steps, self.steps_per_epoch, self.seed, self.look, self.headline, self.say = steps, steps_per_epoch, seed, look, headline, say
        self.schedule = Schedule(settings.learning_rate, steps, warmup_steps(settings.warmup, steps), settings.schedule)
        self.moments = quantised if settings.optimizer in quantised.KINDS else optimizer
        self.optimizer = optimizer_of(settings, network, trainable, multiples)
        self.state = checkpoint.State(0, 0, 0.0, identity=identity)
        self.watch = Watch(max_nonfinite=settings.max_nonfinite)
        self.baseline: float | None = None
        self.expected: dict[int, float] = {}

    # ---- resume -------------------------------------------------------------------------------
    def resume(self, allowed: Sequence[str] = ()) -> None:
        """Go back to the newest checkpoint that verifies; what differs from the run it belongs to is told field by field, and refused where it is not `allowed`."""
        folder, state, passed_over = checkpoint.newest(self.run.path)
        for sentence in passed_over:
            self.say(Event("warning", f"passed over: {sentence}", {"code": "C101", "step": state.step}))
        self.allow(allowed, folder, state)
        weights, moments = checkpoint.tensors_of(folder)
        checkpoint.load_weights(self.parameters, weights, folder)
        self.moments.load_state(self.optimizer, self.parameters, moments)
        checkpoint.repoint(self.run.path, folder, state)
        state.identity = self.state.identity
        self.state, self.watch = state, dataclasses.replace(self.watch, **state.watch)
        rows = self.run.rows("metrics.jsonl")
        self.baseline = next((row["loss"] for row in rows if row["kind"] == "validation" and row["step"] == 0), None)
        # A changed setting may change the very next loss; only an unchanged run has an oracle.
        self.expected = {row["step"]: row["loss"] for row in rows if row["kind"] == "train" and row["step"] == state.step + 1 and not allowed}
        self.run.keep_rows("metrics.jsonl", lambda row: row["step"] <= state.step)
        self.run.keep_rows("events.jsonl", lambda row: row["data"].get("step", 0) <= state.step)
        self.say(Event("note", f"continuing from step {state.step:,} of {self.steps:,}", {"step": state.step}))

    def allow(self, allowed: Sequence[str], folder: Path, state: checkpoint.State) -> None:
        """Refuse differences that were not allowed by name, and names that allow nothing; say what changes from here on."""
        differing = {line.split(":")[0]: line for line in checkpoint.differences(state.identity, self.state.identity)}
        refused = [line for field, line in differing.items() if field not in allowed]
        if refused:
            names = " ".join(f"--allow-change {line.split(':')[0]}" for line in refused)
            raise CheckpointError(
                f"{folder} belongs to another run than the recipe, data and base at hand: " + "; ".join(refused), code="C105",
                file=str(folder), field=refused[0].split(":")[0], hint=f"put back what changed, start a new run without --resume, or go on with {names}",
            )
        if idle := [field for field in allowed if field not in differing]:
            raise RecipeError(f"--allow-change {idle[0]} allows nothing: that field is as it was", code="R176", field=idle[0], hint=f"what differs is: {', '.join(differing) or 'nothing'}")
        for line in differing.values():
            self.say(Event("note", f"changed from step {state.step:,} on: {line}", {"step": state.step}))
        if differing:
            schedule = f"the rate follows a {self.schedule.shape} schedule that ends at step {self.steps:,}; updates made: {state.updates:,}"
            self.say(Event("note", f"{schedule}. This run no longer repeats bit for bit what its recipe alone would give", {"step": state.step}))

    # ---- the stretch --------------------------------------------------------------------------
    def go(self, stopping: Stopping) -> None:
        """From the current state to the end, an early stop, or a signal; the checkpoint is written before leaving."""
        self.pre_flight()
        if self.has_stopped_early():
            return  # killed after the look that ended the run
        try:
            if self.state.step == 0 and self.baseline is None:
                self.baseline = self.looked(0, began=None)
            loop = train(
                self.network, self.objective, self.optimizer, self.schedule, steps=self.steps, seed=self.seed,
                clip_norm=self.settings.clip, start=self.state.step, updates=self.state.updates,
            )
            while True:
                with stopping.held():
                    if (step := next(loop, None)) is None:
                        return
                    self.after(step)
                if self.due(step.number, self.settings.evaluate_every):
                    self.after_look(self.looked(step.number, began=step), stopping)
                    if self.has_stopped_early():
                        return
                elif self.due(step.number, self.settings.save_every):
                    with stopping.held():
                        self.save()
        except Stopped as stop:
            if self.state.step:
                self.save()
            raise stop

    def pre_flight(self) -> None:
        """Refuse to start where two checkpoints would not fit on the disk."""
        one = sum(tensor.numel() * 12 for tensor in self.parameters.values())
        if free_bytes(self.run.path) < 2 * one:
            raise DiskError(f"two checkpoints need {2 * one:,} bytes, free are {free_bytes(self.run.path):,}", code="F105", file=str(self.run.path), hint="free some space, or set LUTHIER_RUNS to a folder on another disk")

    def due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.steps

    def after(self, step: Step) -> None:
        """Write down one step and raise its alarms."""
        expected = self.expected.pop(step.number, None)
        if expected is not None and expected != step.loss and not (math.isnan(step.loss)):
            raise CheckpointError(
                f"the loss of step {step.number} is {step.loss!r} after resuming and was {expected!r} before", code="C106", file=str(self.run.path),
                hint="library, thread count or processor differ from the first time; start a new run",
            )
        self.state.step, self.state.updates = step.number, step.updates
        self.state.learned += step.count
        self.state.nonfinite_steps += not step.finite
        epoch = step.number / self.steps_per_epoch
        row = {
            "kind": "train", "step": step.number, "epoch": round(epoch, 4), "loss": step.loss, "gradient_norm": step.gradient_norm,
            "learning_rate": step.learning_rate, "learned": step.count, "tokens": step.tokens, "finite": step.finite,
            "seconds": round(step.seconds, 4), "tokens_per_second": round(step.tokens / max(step.seconds, 1e-9), 1),
        }
        if step.figures:
            row["figures"] = jsonable(step.figures)
        self.written(row)
        rate = f"loss {step.loss:.3f} · {row['tokens_per_second']:,.0f} tok/s"
        self.say(Event("progress", rate, {"task": "training", "done": step.number, "total": self.steps, "unit": "steps", "loss": step.loss}))
        for alarm in self.watch.step(step):
            self.say(alarm)

    def written(self, row: dict) -> None:
        """A row of figures, kept in the run's log and told to whoever listens."""
        self.run.append("metrics.jsonl", row := jsonable(row))
        self.say(Event("row", "", {"folder": str(self.run.path), "row": row}))

    def looked(self, number: int, began: Step | None) -> float | None:
        """Look at validation, write it down, and return its loss."""
        loss, metrics = self.look()
        epoch = number / self.steps_per_epoch
        row = {"kind": "validation", "step": number, "epoch": round(epoch, 4), "loss": loss, "metrics": metrics}
        self.written(row)
        shown = {"step": number, "epoch": epoch, "train": None if began is None else began.loss, "validation": loss}
        shown |= {name: value for name, value in metrics.items() if name == self.headline}
        if began is not None:
            shown |= {"learning_rate": began.learning_rate, "tokens_per_second": began.tokens / max(began.seconds, 1e-9)}
        better = loss is not None and number > 0 and (self.state.best_loss is None or loss < self.state.best_loss)
        self.say(Event("step", "", {**shown, "best": better}))
        return loss

    def after_look(self, loss: float | None, stopping: Stopping) -> None:
        """Alarms, the best so far, and a checkpoint."""
        state = self.state
        if loss is not None:
            for alarm in self.watch.look(state.step, loss, self.baseline, self.steps):
                self.say(alarm)
        better = loss is None or (math.isfinite(loss) and (state.best_loss is None or loss < state.best_loss))
        state.looks_without_better = 0 if better else state.looks_without_better + 1
        if better:
            state.best_step, state.best_loss = state.step, loss
        with stopping.held():
            folder = self.save()
            if better:
                checkpoint.point(self.run.path, "best", folder, state.step, loss)
            checkpoint.prune(self.run.path, self.settings.keep_checkpoints)

    def has_stopped_early(self) -> bool:
        patience = self.settings.early_stopping
        if not patience or self.state.looks_without_better < patience:
            return False
        self.say(Event("note", f"stopped early at step {self.state.step}: {patience} looks in a row were not better than step {self.state.best_step}", {"code": "T204", "step": self.state.step}))
        return True

    def save(self):
        """The checkpoint of this moment; written once per step."""
        folder = self.run.path / f"checkpoint-{self.state.step}"
        self.state.watch = asdict(self.watch)
        history = [row for row in self.run.rows("metrics.jsonl")]
        epochs = self.steps / self.steps_per_epoch
        return checkpoint.save(
            folder.parent, self.state, self.parameters, self.moments.state_tensors(self.optimizer, self.parameters),
            checkpoint.trainer_state(self.state, history, self.steps, epochs),
        )


def jsonable(row: dict) -> dict:
    """Non-finite numbers as words: JSON has none, and the log must show them."""
    return {key: repr(value) if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def load_best(run: Run, parameters: dict, say: Say) -> int:
    """Put the weights of the best checkpoint back (the last, where none was judged); returns its step."""
    folder = checkpoint.pointed(run.path, "best") or checkpoint.newest(run.path)[0]
    state = checkpoint.checked(folder)
    checkpoint.load_weights(parameters, checkpoint.weights_of(folder), folder)
    say(Event("note", f"kept step {state.step:,}, the best on validation", {"step": state.step}))
    return state.step
