"""The frame of every verb: the options that all share, and one place where errors become a sentence and an exit code."""

import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.commands.screen import Screen
from luthier.errors import DiskError, DoesNotFit, LuthierError, RecipeError

COMMON = {
    "as_json": Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; what happens on the way goes to stderr.")],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer only.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Print details and the warnings of libraries too.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")],
    "no_color": Annotated[bool, typer.Option("--no-color", help="Print without colour; so does NO_COLOR=1.")],
}
LOG = Path(".luthier") / "log.txt"
"""Where tracebacks of unexpected errors are kept."""


def framed(function: Callable[..., int | None]) -> Callable[..., int]:
    """A command that takes the common options besides its own, gets a Screen, and returns an exit code."""
    own = [parameter for name, parameter in inspect.signature(function).parameters.items() if name != "screen"]
    common = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind) for name, kind in COMMON.items()]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]

    @wraps(function)
    def run(**given: Any) -> int:
        screen = Screen(**{name: given.pop(name) for name in COMMON})
        return guarded(screen, lambda: function(screen, **given))

    run.__signature__ = inspect.Signature(own + common)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in own + common}
    return run


def guarded(screen: Screen, work: Callable[[], int | None]) -> int:
    """Do the work; every way it can end becomes an exit code and at most one message."""
    calm_libraries(screen)
    try:
        return work() or 0
    except LuthierError as error:
        return told(screen, error)
    except KeyboardInterrupt:
        screen.progress.close()
        if screen.as_json:
            screen.json({"error": LuthierError("stopped by Ctrl-C", code="T130").to_dict()})
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away; let the interpreter close in peace
        return DiskError.exit_code
    except MemoryError:
        return told(screen, DoesNotFit("out of memory", code="M101", hint="`luthier plan` shows what fits and what to change"))
    except OSError as error:
        log = keep_traceback()
        name = f"{error.filename}: " if error.filename else ""
        return told(screen, DiskError(f"{name}{error.strerror or error}", code="F100", hint=f"the traceback is in {log}"))
    except Exception as error:
        log = keep_traceback()
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        return told(screen, LuthierError(f"an error inside Luthier: {reason}", code="E100", hint=f"the traceback is in {log}; please report it"))


def told(screen: Screen, error: LuthierError) -> int:
    """Show the error; its traceback only where it was asked for."""
    if screen.debug and sys.exc_info()[0]:
        screen.progress.close()
        sys.stderr.write(traceback.format_exc())
    screen.error(error)
    return error.exit_code


def keep_traceback() -> str:
    """Append the current traceback to the log and return where it is; without a place to write, say so."""
    try:
        LOG.parent.mkdir(exist_ok=True)
        with open(LOG, "a", encoding="utf-8") as stream:
            stream.write(f"$ luthier {sys.argv[1] if sys.argv[1:] else ''}\n{traceback.format_exc()}\n")
    except OSError:
        return "no log (this folder cannot be written); --debug prints it"
    return str(LOG)


def calm_libraries(screen: Screen) -> None:
    """No telemetry, no second set of progress bars, no warnings meant for programmers."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not screen.verbose:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        warnings.simplefilter("ignore")


def look_early(target: str | None, overrides: Sequence[str]) -> None:
    """Read the recipe before the libraries that train are loaded: a mistyped key or a missing file is told within a second."""
    from luthier.verbs import recipe

    recipe.load(target, overrides, guess=lambda path: {})


def split_words(words: Sequence[str] | None) -> tuple[str | None, list[str]]:
    """The target and the `key=value` words of a command line; a word with `=` that is a file is the target."""
    targets = [word for word in words or [] if "=" not in word or os.path.exists(word)]
    if len(targets) > 1:
        listed = ", ".join(f"`{target}`" for target in targets)
        raise RecipeError(f"one file or recipe is wanted, and {len(targets)} are given: {listed}", hint="settings are written `key=value`")
    return (targets[0] if targets else None), [word for word in words or [] if word not in targets]
