"""The process in which chat templates run: jinja2's sandbox, with the kernel holding its memory, its CPU time and its hands.

A model's template is code from a stranger. The sandbox keeps it from Python's internals but bounds neither time nor memory, so it runs here,
alone: no files, no sockets, no fork, a CPU alarm per render and an address-space limit, both enforced by the kernel. Started by file path
under `python -I`, this file imports nothing of the package. Requests and replies are JSON, one per line.
"""
import contextlib
import datetime
import json
import pprint  # noqa: F401 - a filter of jinja2 reads it at first use
import resource
import signal
import sys
import textwrap  # noqa: F401 - as pprint

import jinja2
import jinja2.debug  # jinja2 reads it at the first error, when no file may be opened any more
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

REASONING = ("reasoning_content", "thinking", "reasoning")  # names that tools give to a message's thoughts, the standard one first


class Raised(TemplateError):
    """The template itself called `raise_exception`: it does not take this conversation."""


class GenerationTag(Extension):
    """`{% generation %}` marks an assistant's words for other tools; here it only renders what it holds."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller):
        return caller()


class PlainNamespace(Namespace):
    """jinja2's namespace without names that lead to Python's internals."""

    def __init__(*args, **kwargs):
        for name in dict(*args[1:], **kwargs):
            PlainNamespace.allow(name)
        Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name, value):
        PlainNamespace.allow(name)
        Namespace.__setitem__(self, name, value)

    @staticmethod
    def allow(name):
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace may not hold the name {name!r}")


class DictMaker:
    """`dict(...)` and `dict.fromkeys(...)`, without the class behind them."""

    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args):
        return dict.fromkeys(*args)


def raise_exception(message):
    raise Raised(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def clock(today):
    """`strftime_now`: the present time, or the fixed moment that a run was given."""
    fixed = datetime.datetime.fromisoformat(today) if today else None
    return lambda form: (fixed or datetime.datetime.now()).strftime(form)


def environment(today) -> ImmutableSandboxedEnvironment:
    """The environment that Transformers 5 gives to chat templates."""
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
    sandbox.filters["tojson"] = tojson
    sandbox.globals.update(raise_exception=raise_exception, strftime_now=clock(today), dict=DictMaker(), namespace=PlainNamespace)
    return sandbox


def with_reasoning(message: dict) -> dict:
    """The message with its thoughts under the standard name, and under the one that some templates read."""
    thoughts = next((message[name] for name in REASONING if message.get(name) is not None), None)
    return message if thoughts is None else {"thinking": thoughts, **message, "reasoning_content": thoughts}


def shared(one: str, two: str) -> int:
    """How many characters two strings have in common from the start."""
    if one.startswith(two):
        return len(two)
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == two[:middle] else (low, middle - 1)
    return low


class Worker:
    """Holds one compiled template and renders conversations with it."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.template, self.variables = None, {}

    @contextlib.contextmanager
    def timed(self):
        """Let the kernel end this process when the block takes more CPU time than allowed: SIGPROF has no handler here."""
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)

    def load(self, request: dict) -> dict:
        with self.timed():
            self.template = environment(request["today"]).from_string(request["template"])
        self.variables = request["variables"]
        return {"ready": jinja2.__version__}

    def render(self, messages: list, tools, prompt: bool) -> str:
        with self.timed():
            return self.template.render(messages=messages, tools=tools, documents=None, add_generation_prompt=prompt, **self.variables)

    def conversation(self, request: dict) -> dict:
        """The text of a conversation, and for each asked turn: the length of its prompt, how much of it the text shares, the length of the rendering up to the turn, how much of that the text shares."""
        messages = [with_reasoning({key: value for key, value in message.items() if value is not None}) for message in request["messages"]]
        tools = request["tools"]
        text, turns = self.render(messages, tools, request["prompt"]), []
        for turn in request["turns"]:
            try:
                prompt = self.render(messages[:turn], tools, True)
                last = turn + 1 == len(messages) and not request["prompt"]
                until = text if last else self.render(messages[: turn + 1], tools, False)
                turns.append([len(prompt), shared(text, prompt), len(until), shared(text, until)])
            except (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError):
                turns.append(None)  # this turn alone cannot be asked for, e.g. an answer before any question
        return {"text": text, "turns": turns}

    def answer(self, line: str) -> dict:
        request = json.loads(line)
        try:
            return self.load(request) if "template" in request else self.conversation(request)
        except Raised as error:
            return {"error": "raised", "message": str(error)}
        except SecurityError as error:
            return {"error": "forbidden", "message": str(error)}
        except TemplateSyntaxError as error:
            return {"error": "syntax", "message": f"{error.message} (line {error.lineno})"}
        except (MemoryError, RecursionError) as error:
            return {"error": "memory", "message": type(error).__name__}
        except Exception as error:  # whatever a stranger's template does is told, not hidden
            return {"error": "failed", "message": f"{type(error).__name__}: {error}"}


def warm_up() -> None:
    """Render once with everything that Python and jinja2 load at first use: no file can be opened afterwards."""
    source = r"{% generation %}{{ ['\n\u00e9', x]|pprint|wordwrap(9)|urlize|title }}{% endgeneration %}{{ strftime_now('%d %b %Y %A %p') }}{{ {}|tojson }}"
    environment(None).from_string(source).render(x="é")
    for broken in ("{{ 1 / 0 }}", "{{ x.__class__.__mro__ }}", "{% if %}"):
        with contextlib.suppress(TemplateError, ZeroDivisionError):
            environment(None).from_string(broken).render(x="")


def limit(megabytes: int) -> None:
    """Give up what a template never needs: memory beyond the bound, files to write, new descriptors, core dumps, child processes."""
    bounds = {"RLIMIT_AS": megabytes << 20, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 0, "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0}
    for name, bound in bounds.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):  # systems that lack one of these limits keep the others
            resource.setrlimit(getattr(resource, name), (bound, bound))


def main() -> None:
    megabytes, seconds = int(sys.argv[1]), float(sys.argv[2])
    warm_up()
    limit(megabytes)
    worker = Worker(seconds)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            reply = json.dumps(worker.answer(line))
        except MemoryError:
            reply = '{"error": "memory", "message": "MemoryError"}'
        sys.stdout.write(reply + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
