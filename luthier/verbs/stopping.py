"""Ctrl-C and SIGTERM: finish the step, save, leave with 130 or 143; a second signal leaves at once."""
import contextlib
import os
import signal
from collections.abc import Iterator

from luthier.errors import Stopped


class Stopping:
    """Handles signals while a run is worked on. Outside `held` a signal stops at once; inside it is kept until the block ends."""

    def __init__(self):
        self.received: int | None = None
        self.holding = False
        self.earlier: dict = {}

    def __enter__(self) -> "Stopping":
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # signals can be handled in the main thread only; elsewhere the caller stops us
                self.earlier[number] = signal.signal(number, self.handle)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.earlier.items():
            signal.signal(number, handler)

    def handle(self, number: int, _frame) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        if not self.holding:
            self.stop()

    def stop(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.received is not None:
            raise Stopped(f"stopped by {signal.Signals(self.received).name}", signal_number=self.received, hint="continue with: luthier train --resume")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A stretch that must not be cut in two: an optimizer step, a checkpoint."""
        self.holding = True
        try:
            yield
        finally:
            self.holding = False
        self.stop()
