"""Weights & Biases: a run of a project, sent to wandb.ai unless WANDB_MODE=offline; of this machine nothing but recipe and figures is told."""
import secrets
from collections.abc import Mapping

from luthier.runs.folder import Run
from luthier.runs.trackers.settings import TrackingSettings

SILENT = {
    "console": "off", "disable_git": True, "disable_code": True, "save_code": False, "x_disable_meta": True, "x_disable_machine_info": True, "x_disable_stats": True,
}
"""No console, no source, no host, no load of the machine."""


class Sent:
    """A run there; one id for this run's folder, so that a resumed run goes on."""

    def __init__(self, run: Run, settings: TrackingSettings, recipe: Mapping[str, str]):
        import wandb

        known = run.facts().get("wandb") or secrets.token_hex(6)
        run.update(wandb=known)
        self.run = wandb.init(project=settings.project, name=run.name, id=known, resume="allow", config=dict(recipe), dir=str(run.path), settings=SILENT)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self, status: str) -> None:
        self.run.finish(exit_code=0 if status == "done" else 1)


def start(run: Run, settings: TrackingSettings, recipe: Mapping[str, str]) -> Sent:
    return Sent(run, settings, recipe)
