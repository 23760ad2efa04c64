"""The only renderer of chat templates: a sandboxed process of its own, bounded in time and memory, spoken to in batches over pipes.

A template that needs too long or too much dies with its process; the next request gets a new one.
"""
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import Refused

WORKER = Path(__file__).with_name("template_worker.py")
MAX_TEMPLATE = 1 << 20
MAX_REPLY = 128 << 20
ENVIRONMENT = ("LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TZ")
IN_FLIGHT = 1 << 20  # bytes offered to the pipe at once

FORBIDDEN = {
    "forbidden": ("S110", "reaches for what a template may not touch: {}"),
    "memory": ("S112", "needs more memory or depth than a template may have ({})"),
    "time": ("S111", "takes more than {} s of CPU time"),
    "syntax": ("S114", "cannot be read: {}"),
}


@dataclass(frozen=True)
class Request:
    """One conversation to render."""

    messages: list[dict]
    """Messages as the template sees them: role, content and what else the record holds."""
    tools: list[dict] | None = None
    """Tools on offer, as JSON schemas."""
    prompt: bool = False
    """Whether the text ends with the start of an assistant turn (`add_generation_prompt`)."""
    turns: tuple[int, ...] = ()
    """Indices of the messages whose place in the text is asked for (assistant turns)."""


@dataclass(frozen=True)
class Turn:
    """Where one assistant turn stands in a rendered text; lengths in characters."""

    prompt: int
    """Length of the prompt that this turn answers: the messages before it, with the generation prompt."""
    prompt_shared: int
    """How much of that prompt stands in the text, from its start; less than `prompt` where the template writes history differently."""
    until: int
    """Length of the rendering that ends with this turn."""
    until_shared: int
    """How much of that rendering stands in the text, from its start."""

    @property
    def placed(self) -> bool:
        """Whether the text asks for this turn exactly as a prompt does."""
        return self.prompt == self.prompt_shared


@dataclass(frozen=True)
class Rendering:
    """A conversation as text, or the template's reason against it."""

    text: str = ""
    turns: tuple[Turn | None, ...] = ()
    """One per asked turn; None where the template cannot be asked for that turn."""
    error: str | None = None
    """What the template says against this conversation; None where it rendered."""


class ChatTemplate:
    """A chat template and the process that renders it. The process starts with the first request and ends with this object."""

    def __init__(self, source: str, variables: dict[str, str], *, today: str | None = None, seconds: float = 1.0, megabytes: int = 256):
        """`variables` are the tokenizer's named tokens; `today` (ISO) fixes what `strftime_now` says; the bounds hold per render."""
        if len(source.encode()) > MAX_TEMPLATE:
            raise Refused(f"the chat template has {len(source.encode()):,} bytes; at most {MAX_TEMPLATE:,} are read", code="S113", hint="use a model with an ordinary chat template")
        self.source, self.variables, self.today = source, dict(variables), today
        self.seconds, self.megabytes = seconds, megabytes
        self._process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize | None = None

    def render(self, requests: Sequence[Request]) -> list[Rendering]:
        """Render conversations in order. A template that breaks out or out of its bounds is Refused; one that raises about a conversation returns its sentence as `error`."""
        lines = [json.dumps({"messages": item.messages, "tools": item.tools, "prompt": item.prompt, "turns": item.turns}) for item in requests]
        with self._lock:
            if self._process is None:
                self._start()
            try:
                replies = self._exchange(lines)
            except BaseException:  # replies still on their way would answer the next question
                self._stop()
                raise
        return [self._rendering(reply) for reply in replies]

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    # ---- the process ----------------------------------------------------------------------------
    def _start(self) -> None:
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        command = [sys.executable, "-I", str(WORKER), str(self.megabytes), str(self.seconds)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd="/", start_new_session=True)
        self._finalizer = weakref.finalize(self, _end, self._process)
        for stream in (self._process.stdin, self._process.stdout):
            os.set_blocking(stream.fileno(), False)
        loading = {"template": self.source, "variables": self.variables, "today": self.today}
        reply = self._exchange([json.dumps(loading)])[0]
        if "error" in reply:
            self._stop()
            self._refuse(reply)

    def _stop(self) -> None:
        if self._process is not None:
            self._finalizer()
            self._process = None

    def _exchange(self, lines: list[str]) -> list[dict]:
        """Send lines, collect one reply each; reading and writing take turns so that neither side waits on a full pipe."""
        process, replies, unread = self._process, [], b""
        sending = memoryview("\n".join(lines).encode() + b"\n")
        reading, writing = process.stdout.fileno(), process.stdin.fileno()
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        poll.register(writing, select.POLLOUT)
        deadline = time.monotonic() + self._patience
        while len(replies) < len(lines):
            ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
            if not ready:
                self._died()
            if writing in ready:
                with contextlib.suppress(BlockingIOError, BrokenPipeError):  # a dead worker is seen on its other pipe
                    sending = sending[os.write(writing, sending[:IN_FLIGHT]):]
                if not sending or ready[writing] & (select.POLLERR | select.POLLHUP):
                    poll.unregister(writing)
            if reading in ready:
                block = os.read(reading, 1 << 20)
                if not block or len(unread) > MAX_REPLY:
                    self._died()
                *whole, unread = (unread + block).split(b"\n")
                replies += map(json.loads, whole)
                deadline = time.monotonic() + self._patience if whole else deadline
        return replies

    @property
    def _patience(self) -> float:
        """Wall seconds without any reply after which the worker is given up; its CPU time is bounded by the kernel, this bound is for a worker that hangs."""
        return 10 + 10 * self.seconds

    def _died(self) -> None:
        """Say why the worker is gone, and leave the place free for a new one."""
        process = self._process
        self._stop()
        kind = "memory" if process.returncode in (-signal.SIGSEGV, -signal.SIGABRT, 1) else "time"
        self._refuse({"error": kind, "message": "killed" if kind == "memory" else f"{self.seconds:g}"})

    def _rendering(self, reply: dict) -> Rendering:
        if "error" in reply:
            if reply["error"] in FORBIDDEN:
                self._refuse(reply)
            return Rendering(error=" ".join(reply["message"].split())[:200])
        return Rendering(reply["text"], tuple(Turn(*turn) if turn else None for turn in reply["turns"]))

    def _refuse(self, reply: dict) -> None:
        code, sentence = FORBIDDEN.get(reply["error"], ("S114", "cannot be used: {}"))
        hint = "use another model, or give it a chat template that you trust" if code != "S114" else "repair the template's Jinja, or use another model"
        raise Refused(f"the model's chat template {sentence.format(reply['message'][:200])}", code=code, hint=hint)


def _end(process: subprocess.Popen) -> None:
    """End a worker at once; it holds nothing worth keeping."""
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
