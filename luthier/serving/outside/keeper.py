"""Holds an engine for as long as its server lives: the server keeps this process's input open, and when that ends, by whatever death, the engine ends.

Started by file path under `python -I`; it imports nothing of the package. Leaves with the engine's own exit code, or 127 where it cannot start.
"""
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

GRACE = 10.0
"""Seconds from asking the engine to stop until it is stopped."""


def die_with_parent() -> None:
    """Linux ends the engine even where this process is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def end(child: subprocess.Popen) -> None:
    """Ask the engine and all its workers to stop, then stop them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
        os.killpg(child.pid, signal.SIGKILL)


def main() -> None:
    try:
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent)
    except OSError as error:
        sys.stderr.write(f"{sys.argv[1]}: {error.strerror}\n")
        os._exit(127)

    def wait() -> None:
        code = child.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # workers that it left behind
        os._exit(code if code >= 0 else 128 - code)

    threading.Thread(target=wait, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: end(child))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    end(child)
    os._exit(0)


if __name__ == "__main__":
    main()
