"""Run a program that a model wrote, and its tests, where it can do no harm: a process of its own with bounded time, memory and files, no network and no writing.

The rules stand in `cage.py`. On Linux the kernel holds them; elsewhere the interpreter does, which stops accidents and not a program made to
escape: there, run it in a container of your own. The program may read files of this machine and can tell nobody.
"""
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CAGE = Path(__file__).with_name("cage.py")
MEMORY = 512 << 20
LONGEST = 100_000
"""Characters of a program that are tried; a longer one fails."""


@dataclass(frozen=True)
class Outcome:
    """What became of a program."""

    passed: bool
    """It and its tests came to their end."""
    why: str
    """The last line of its error, or what stopped it; empty where it passed."""
    held_by: str = ""
    """kernel or interpreter: who held the rules, where it came to its end."""


def run(program: str, tests: str, *, seconds: int = 5) -> Outcome:
    """Whether the tests run through after the program. `seconds` bounds processor time, and twice as many the clock."""
    if len(program) > LONGEST or "\0" in program:
        return Outcome(False, "too long, or not a text")
    word = secrets.token_hex(16).encode()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "program.py"
        place.write_text(f"{program}\n\n{tests}\n", encoding="utf-8", errors="replace")
        reader, writer = os.pipe()
        try:
            command = [sys.executable, "-I", "-S", "-B", str(CAGE), str(place), str(seconds), str(MEMORY), str(writer)]
            done = subprocess.run(
                command, input=word, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder, env={}, pass_fds=(writer,), timeout=2 * seconds, start_new_session=True, check=False
            )
            errors = done.stderr[-4000:].decode("utf-8", "replace").strip().splitlines()
            killed = f"it was ended by signal {-done.returncode}, as one that uses up its {seconds} seconds is" if done.returncode < 0 else "it ended before its tests did"
            why = errors[-1][:200] if errors else killed
        except subprocess.TimeoutExpired:
            why = f"it did not end within {2 * seconds} seconds"
        finally:
            os.close(writer)
        said = os.read(reader, 64)
        os.close(reader)
    if said.startswith(word):
        return Outcome(True, "", said.removeprefix(word).decode().strip())
    return Outcome(False, why)
