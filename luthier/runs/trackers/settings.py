"""What a recipe says under `tracking:`: which trackers are told of a run. None is, unless it is named here."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrackingSettings:
    """Where the curves of a run are shown beside its own report."""

    to: list[str] = field(default_factory=list)
    """Trackers that are told the recipe and the figures of a run: tensorboard, mlflow, wandb, trackio; none by default, and nobody who is not named is told."""
    project: str = "luthier"
    """The project or experiment that the run stands under there."""
    address: str | None = None
    """Where MLflow listens (`http://localhost:5000`), or the Space of Trackio; none: a file in the folder of all runs. W&B and TensorBoard have no use for it."""
