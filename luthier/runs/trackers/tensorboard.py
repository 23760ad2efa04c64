"""TensorBoard: event files in the run's folder, `runs/NAME/tensorboard`; nothing leaves the machine. Read them with `tensorboard --logdir runs`."""
from collections.abc import Mapping

from luthier.runs.folder import Run
from luthier.runs.trackers.settings import TrackingSettings


class Events:
    """One file of events, written as they come."""

    def __init__(self, run: Run, recipe: Mapping[str, str]):
        self.folder, self.recipe, self.writer = run.path / "tensorboard", recipe, None

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        if self.writer is None:
            self.writer = self.opened(step)
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def opened(self, step: int):
        """What an interrupted run had written from this step on is hidden: a resumed run writes it again."""
        from tensorboardX import SummaryWriter

        writer = SummaryWriter(logdir=str(self.folder), purge_step=step)
        writer.add_text("recipe", "\n".join(f"    {key}: {value}" for key, value in self.recipe.items()), step)
        return writer

    def close(self, status: str) -> None:
        if self.writer is not None:
            self.writer.close()


def start(run: Run, settings: TrackingSettings, recipe: Mapping[str, str]) -> Events:
    return Events(run, recipe)
