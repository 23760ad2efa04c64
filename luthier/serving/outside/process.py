"""An engine's process and whether it answers: started, looked at, started again when it dies; or one that somebody else runs, looked at only."""
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from luthier.errors import LuthierError, WorkFailed
from luthier.serving.outside.kind import Kind, Shown

log = logging.getLogger("luthier.serving")
KEEPER = Path(__file__).with_name("keeper.py")
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "HF_HOME", "TMPDIR", "OMP_NUM_THREADS", "PYTHONPATH")
"""What an engine finds of this process's environment: none of our keys."""
LOOK = 0.5
"""Seconds between two looks at it."""
MOST_DEATHS = 5
STEADY = 60.0
"""Seconds of answering after which earlier deaths are forgotten."""


@dataclass
class Watched:
    """Where an engine answers and whether it does now."""

    kind: Kind
    url: str = ""
    key: str | None = None
    accept: Callable[["Watched"], None] = lambda engine: None
    """Looks closely at an engine that has just begun to answer; raises LuthierError where it is not what it should be."""
    up: bool = False
    failed: str = ""
    """Why it will not come back; empty while there is hope."""
    stopping: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> None:
        """Begin to look at it."""
        self.thread = threading.Thread(target=self.watch, name="luthier-outside", daemon=True)
        self.thread.start()

    def wait(self, seconds: float) -> None:
        """Until it answers; WorkFailed where it does not in time, or never will."""
        with self.changed:
            self.changed.wait_for(lambda: self.up or self.failed, timeout=seconds)
        if not self.up:
            raise WorkFailed(f"{self.kind.program} does not answer: {self.failed or f'not within {seconds:.0f} s'}", code="E125", hint="its own words stand in the log beside the jobs")

    def stop(self) -> None:
        self.stopping = True
        self.told(up=False)

    # ---- looking --------------------------------------------------------------------------------
    def watch(self) -> None:
        """Look at it until the server ends."""
        while not self.stopping and not self.failed:
            self.look()
            time.sleep(LOOK)

    def look(self) -> None:
        """See whether it answers, and look closely when it begins to."""
        answers = self.answers()
        try:
            if answers and not self.up:
                self.accept(self)
        except LuthierError as error:
            self.told(up=False, failed=error.message)
        except (httpx2.HTTPError, OSError):
            answers = False
        if not self.failed:
            self.told(up=answers)

    def answers(self) -> bool:
        """Whether /health says yes."""
        try:
            return httpx2.get(f"{self.url}/health", timeout=2.0, headers=self.headers, trust_env=False).status_code == 200
        except (httpx2.HTTPError, OSError):
            return False

    def told(self, *, up: bool, failed: str = "") -> None:
        if up != self.up:
            log.info("%s %s", self.kind.program, "answers" if up else "does not answer")
        with self.changed:
            self.up, self.failed = up and not self.stopping, failed or self.failed
            self.changed.notify_all()

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}

    def ask(self, path: str, body: dict | None = None) -> dict:
        """One small question, answered as JSON; an HTTP error is raised."""
        answer = httpx2.request("GET" if body is None else "POST", f"{self.url}{path}", json=body, timeout=120.0, headers=self.headers, trust_env=False)
        answer.raise_for_status()
        return answer.json()


@dataclass
class Started(Watched):
    """An engine that this server starts, on a port of the loopback address and with a key that nobody else knows."""

    program: str = ""
    shown: Shown | None = None
    log_file: Path = Path()
    process: subprocess.Popen | None = None
    deaths: int = 0
    since: float = 0.0
    """When it last began to answer."""

    def begin(self) -> None:
        """Start the process under its keeper."""
        port = free_port()
        self.url, self.key = f"http://127.0.0.1:{port}", secrets.token_urlsafe(24)
        environment = {name: os.environ[name] for name in PASSED if name in os.environ} | {"HF_HUB_OFFLINE": "1", **self.kind.environment, self.kind.key_variable: self.key}
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log_file, "ab") as stream:
            command = [sys.executable, "-I", str(KEEPER), *self.kind.command(self.program, self.shown, port)]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=environment, start_new_session=True)

    def look(self) -> None:
        if self.process is None:
            self.begin()
        if (code := self.process.poll()) is None:
            was = self.up
            super().look()
            self.since = self.since if was else time.monotonic()
            return
        log.warning("%s ended with %s", self.kind.program, code)
        self.deaths = 1 if self.up and time.monotonic() - self.since > STEADY else self.deaths + 1
        self.told(up=False, failed="" if self.deaths < MOST_DEATHS and code != 127 else f"it ended {self.deaths} times: {self.last_words()}")
        self.process.stdin.close()
        self.process = None
        if not self.failed and self.deaths > 1:
            time.sleep(min(10.0, 0.5 * 2**self.deaths))

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log_file.read_bytes()[-4000:].decode("utf-8", "replace").strip().splitlines()
        return (lines[-1] if lines else "it said nothing")[:300]

    def stop(self) -> None:
        """End the process; closing its keeper's input is all that it takes."""
        super().stop()
        self.thread.join(timeout=15)
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait(timeout=20)


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
