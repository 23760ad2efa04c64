"""The process in which a confirmed reward function runs: one JSON request a line in, one JSON answer a line out. It imports nothing of the package.

What the function prints goes to stderr, so that it cannot be taken for an answer. Figures that are no finite numbers come back as null.
"""
import contextlib
import importlib.util
import json
import math
import sys
import traceback


def load(path: str, name: str):
    """The function of a file that its user has confirmed."""
    spec = importlib.util.spec_from_file_location("reward_function", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def plain(value) -> float | None:
    """A figure as JSON has it."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def answer(function, request: dict) -> dict:
    """The rewards, or what the function raised and at which line of its file."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = function(request["prompts"], request["answers"], request["items"])
        return {"rewards": [plain(value) for value in found]}
    except Exception as error:  # whatever a stranger's function may raise is told, never swallowed
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        return {"error": f"{type(error).__name__}: {error}", "line": line}


def main(path: str, name: str) -> None:
    replies = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            function = load(path, name)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        function = None
    for line in sys.stdin:
        reply = {"error": message} if function is None else answer(function, json.loads(line))
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(*sys.argv[1:3])
