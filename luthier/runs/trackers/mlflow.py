"""MLflow: a run of an experiment, at `tracking.address` or in `mlflow.db` beside the runs. Its own reports of use are switched off."""
import os
import time
from collections.abc import Mapping

from luthier.runs.folder import Run, runs_root
from luthier.runs.trackers.settings import TrackingSettings

STATUS = {"done": "FINISHED", "stopped": "KILLED"}
AT_ONCE = 100
"""Most parameters that MLflow takes in one call."""
LONGEST = 6000


class Logged:
    """A run there, continued where this run was begun there before."""

    def __init__(self, run: Run, settings: TrackingSettings, recipe: Mapping[str, str]):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        self.mlflow = mlflow
        self.client = mlflow.MlflowClient(tracking_uri=settings.address or f"sqlite:///{(runs_root() / 'mlflow.db').resolve()}")
        known = run.facts().get("mlflow")
        if known:
            self.client.update_run(known, status="RUNNING")
        else:
            experiment = self.client.get_experiment_by_name(settings.project)
            number = experiment.experiment_id if experiment else self.client.create_experiment(settings.project)
            known = self.client.create_run(number, run_name=run.name).info.run_id
            run.update(mlflow=known)
            words = [mlflow.entities.Param(key, str(value)[:LONGEST]) for key, value in recipe.items()]
            for at in range(0, len(words), AT_ONCE):
                self.client.log_batch(known, params=words[at : at + AT_ONCE])
        self.run_id = known

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        self.client.log_batch(self.run_id, metrics=[self.mlflow.entities.Metric(name, value, now, step) for name, value in values.items()])

    def close(self, status: str) -> None:
        self.client.set_terminated(self.run_id, status=STATUS.get(status, "FAILED"))


def start(run: Run, settings: TrackingSettings, recipe: Mapping[str, str]) -> Logged:
    return Logged(run, settings, recipe)
