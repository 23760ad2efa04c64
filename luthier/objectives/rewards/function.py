"""`python:FILE.py:FUNCTION`: a function of yours, in a process of its own, that is shown and confirmed before it runs.

It is called as `FUNCTION(prompts, answers, items)`: lists of message lists, texts and dicts (the row's columns, with `reference`), and returns one number
each. A recipe confirms it by the SHA-256 of the file (`objective.confirm`); without that, the source is shown with what to type. The process has a
time limit a call; raising, hanging, dying and returning something else are each told in a sentence.
"""
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from luthier.data.canonical import message_to_dict
from luthier.data.records import Prompt
from luthier.errors import RecipeError, Refused, WorkFailed
from luthier.files import sha256_file

BOUNDED = False
WORKER = Path(__file__).with_name("function_worker.py")
SHOWN_LINES = 60
SHORTEST = 12
"""Characters of the hash that must be typed at least."""


def check(place: str, reward) -> tuple[Path, str]:
    """File and name of a function that is confirmed; Refused S130 with its source where it is not."""
    path, _, name = place.rpartition(":")
    if not path or not name.isidentifier():
        raise RecipeError(f"python:{place} names no function", code="R191", field="objective.rewards", hint="write python:FILE.py:FUNCTION")
    if not Path(path).is_file():
        raise RecipeError(f"there is no file {path}", code="R191", field="objective.rewards", file=path, hint="the path is read from the folder you are in")
    confirm(Path(path), reward.confirm)
    return Path(path), name


def make(place: str, reward):
    return Function(*check(place, reward), reward.seconds)


def confirm(path: Path, given: str) -> None:
    """Whoever runs a function has seen it: the hash of the file is asked for."""
    found = sha256_file(path)
    if any(len(one.strip()) >= SHORTEST and found.startswith(one.strip()) for one in given.split(",")):
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    source = "\n".join(f"  {line}" for line in lines[:SHOWN_LINES]) + (f"\n  ... {len(lines) - SHOWN_LINES} lines more" if len(lines) > SHOWN_LINES else "")
    what = "has changed since it was confirmed, or never was" if given else "would run on this machine with your rights"
    raise Refused(f"the reward function {path} {what}; it reads:\n{source}", code="S130", file=str(path), field="objective.confirm", hint=f"if it may run: objective.confirm={','.join(part for part in (given, found[:SHORTEST]) if part)}")


class Function:
    """A function in a process of its own, started at the first call and again after a failure."""

    def __init__(self, path: Path, name: str, seconds: float):
        self.path, self.name, self.seconds = path, name, seconds
        self.process: subprocess.Popen | None = None

    def __call__(self, task, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float | None]:
        request = {
            "prompts": [[message_to_dict(message) for message in prompt.messages] for prompt in prompts], "answers": list(answers),
            "items": [{**prompt.item, "reference": prompt.reference} for prompt in prompts],
        }
        answer = self.ask(json.dumps(request))
        if "error" in answer:
            raise WorkFailed(f"the reward function {self.name} raised {answer['error']}", code="T301", file=str(self.path), line=answer.get("line"), hint="mend it, confirm it again, and continue with: luthier train --resume")
        values = answer["rewards"]
        if len(values) != len(answers):
            raise WorkFailed(f"the reward function {self.name} returned {len(values)} figures for {len(answers)} answers", code="T301", file=str(self.path), hint="return one number for each answer")
        return values

    def ask(self, request: str) -> dict:
        """Send one request and wait for its answer, at most so many seconds."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        reply: queue.Queue = queue.Queue()
        threading.Thread(target=lambda: reply.put(self.process.stdout.readline()), daemon=True).start()
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
            line = reply.get(timeout=self.seconds)
        except queue.Empty:
            self.close()
            raise WorkFailed(f"the reward function {self.name} gave no answer within {self.seconds:g} s", code="T302", file=str(self.path), hint="make it faster, or raise objective.reward_seconds; then: luthier train --resume") from None
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            raise WorkFailed(f"the process of the reward function {self.name} ended with exit code {code}", code="T301", file=str(self.path), hint="run it by hand on one answer")
        return json.loads(line)

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-I", str(WORKER), str(self.path.resolve()), self.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
