"""A bound on the time of a reward that is computed in this process: a pattern with nested repetition can take for ever on some answers."""
import contextlib
import signal
import threading
from collections.abc import Iterator

from luthier.errors import WorkFailed


@contextlib.contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """WorkFailed T302 where the block takes longer. Alarms are heard by the main thread, and by pattern matching too; in another thread there is no bound."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number, frame) -> None:
        raise WorkFailed(
            f"the reward {what} gave no answer within {seconds:g} s", code="T302", field="objective.rewards",
            hint="a pattern such as (a+)+$ can take for ever: write it without repetition inside repetition, or raise objective.reward_seconds; then: luthier train --resume",
        )

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
