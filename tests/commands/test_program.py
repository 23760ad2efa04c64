"""The frame of the program: help, usage errors, exit codes, and what goes to which stream."""

import json
import os
import pty
import re
import resource
import subprocess
import sys
import types
from pathlib import Path

import pytest

from luthier import __version__
from luthier.commands.app import FIRST, MORE
from luthier.commands.entry import LOG
from luthier.commands.progress import duration, pace, short
from luthier.errors import EXIT_CODES, DataError, GateFailed, LuthierError, Stopped
from luthier.runs.events import Event

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "peft", "sklearn", "datasets", "pyarrow", "pydantic", "numpy", "scipy", "accelerate"}
LEAVES = [[name] for name in [*FIRST, *MORE]] + [["runs", name] for name in ("ls", "show", "diff")] + [["data", name] for name in ("gather", "from-table", "convert", "join", "sample", "shop", "mix")] + [["config", name] for name in ("show", "fill", "schema")]


def program(*words: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "luthier", *words], capture_output=True, text=True, timeout=60, cwd=more.pop("cwd", ROOT), **more)


# ---- help ------------------------------------------------------------------------------------------------------------
def test_help_is_quick_and_light():
    code = (
        "import sys\nfrom luthier.commands.app import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        f"heavy = sorted({HEAVY!r} & set(sys.modules))\nprint(heavy, file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr.strip() == "[]", "loaded by --help"
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds <= 0.5, "seconds of processor time, which a busy machine stretches less than those of the clock"


def test_what_only_contestants_and_intervals_need_is_loaded_by_them():
    """A second of start-up that every prediction, plan and server would pay."""
    code = "import sys\nimport luthier.verbs.plan, luthier.verbs.predict, luthier.verbs.serve, luthier.verbs.train\nprint(sorted({'sklearn', 'scipy.stats', 'pandas', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.strip() == "[]"


def test_the_first_eight_verbs_come_first(luthier):
    ran = luthier("--help")
    first, more = ran.out.split("more\n")
    assert re.findall(r"^  (\w+) ", first, re.M) == ["demo", "init", "check", "plan", "train", "predict", "chat", "eval"]
    assert re.findall(r"^  (\w+) ", more, re.M) == [*MORE, "runs", "import", "keys", "data", "recipes", "config"]
    assert ran.out.startswith("$ luthier init")
    assert luthier().out == ran.out


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_help_opens_with_an_example(luthier, words, flag):
    ran = luthier(*words, flag)
    assert ran.code == 0
    assert ran.out.startswith(f"$ luthier {' '.join(words)}") or ran.out.startswith("$ cat")
    for option in ("--json", "-q, --quiet", "-v, --verbose", "--debug", "--no-color"):
        assert option in ran.out


def test_no_help_line_is_wider_than_a_small_terminal(luthier, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words in [[], *LEAVES]:
        examples = luthier(*words, "--help").out.partition("\n\n")[0]
        assert all(line.startswith("$ ") for line in examples.splitlines()), "an example is broken over two lines"
        assert max(map(len, luthier(*words, "--help").out.splitlines())) <= 80


def test_version(luthier):
    assert luthier("--version").out == f"luthier {__version__}\n"


# ---- usage -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "did you mean `luthier train`?"),
        (["explian", "D110"], "did you mean `luthier explain`?"),
        (["zzz"], "`luthier --help` lists them"),
        (["check", "--jsno"], "--json"),
        (["init"], "FILE"),
        (["check", "--show", "many"], "--show"),
        (["--nope"], "--nope"),
        (["runs", "lss"], "ls"),
    ],
)
def test_wrong_usage_is_an_error_like_any_other(luthier, words, says):
    ran = luthier(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error[R100]: ") and says in ran.err
    in_json = luthier(*words, "--json")
    assert (in_json.code, in_json.err, in_json.json["error"]["code"]) == (2, "", "R100")


def test_two_targets_are_one_too_many(luthier):
    assert "`a.csv`, `b.csv`" in luthier("check", "a.csv", "b.csv").err


# ---- errors ----------------------------------------------------------------------------------------------------------
def all_errors() -> list[type[LuthierError]]:
    return [LuthierError, *LuthierError.__subclasses__()]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_becomes_a_sentence_and_its_exit_code(luthier, verb, kind):
    more = {"signal_number": 15} if kind is Stopped else {}

    def fail(*_, **__):
        raise kind("it broke", hint="do this", file="a.csv", line=3, column=7, **more)

    verb("check", fail)
    ran = luthier("check")
    expected = 143 if kind is Stopped else kind.exit_code
    assert ran.code == expected and expected in EXIT_CODES
    assert ran.err == f"error[{kind.default_code}]: it broke\n --> a.csv:3:7\nhint: do this\n"
    ran = luthier("check", "--json")
    assert ran.code == expected and ran.err == ""
    names = ["code", "message", "file", "line", "column", "byte_offset", "field", "rows", "count", "hint"]
    assert list(ran.json["error"]) == names and ran.json["error"]["line"] == 3


def test_the_findings_of_an_error_are_shown_and_told(luthier, verb):
    other = {"code": "D111", "level": "error", "message": "no role", "file": "a.jsonl", "line": 9, "rows": [9], "hint": ""}

    def fail(*_, **__):
        raise DataError("empty text", code="D110", findings=[{"code": "D110", "message": "empty text", "level": "error"}, other])

    verb("train", fail)
    ran = luthier("train")
    assert ran.err.count("empty text") == 1 and "error[D111]: no role\n --> a.jsonl:9" in ran.err
    assert len(luthier("train", "--json").json["findings"]) == 2


def test_an_unexpected_error_is_one_line_and_its_traceback_is_kept(luthier, verb, tmp_path):
    verb("check", lambda *_, **__: 1 / 0)
    ran = luthier("check")
    assert ran.code == 1
    assert ran.err.startswith("error[E100]: an error inside Luthier: ZeroDivisionError: division by zero\n")
    assert "Traceback" not in ran.err and str(LOG) in ran.err
    assert "ZeroDivisionError" in (tmp_path / LOG).read_text()
    assert "Traceback" in luthier("check", "--debug").err


def test_debug_shows_the_traceback_of_an_expected_error_too(luthier, verb):
    def fail(*_, **__):
        raise GateFailed("too low")

    verb("check", fail)
    assert "Traceback" not in luthier("check").err
    assert "Traceback" in luthier("check", "--debug").err


def test_no_memory_and_no_disk_have_their_codes(luthier, verb):
    def no_memory(*_, **__):
        raise MemoryError

    def no_disk(*_, **__):
        raise OSError(28, "No space left on device", "a.bin")

    verb("check", no_memory)
    assert luthier("check").code == 3
    verb("check", no_disk)
    ran = luthier("check")
    assert ran.code == 6 and "a.bin: No space left on device" in ran.err


def test_ctrl_c_ends_quietly(luthier, verb):
    def stop(*_, **__):
        raise KeyboardInterrupt

    verb("check", stop)
    ran = luthier("check")
    assert (ran.code, ran.out, ran.err) == (130, "", "")
    assert luthier("check", "--json").json["error"]["code"] == "T130"


def test_a_reader_that_goes_away_is_no_traceback():
    schema = subprocess.Popen([sys.executable, "-m", "luthier", "config", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    schema.stdout.close()
    assert b"Traceback" not in schema.stderr.read()
    assert schema.wait(60) in EXIT_CODES


# ---- streams ---------------------------------------------------------------------------------------------------------
def talkative(*_, say, **__):
    say(Event("phase", "reading"))
    for done in range(3):
        say(Event("progress", "", {"task": "read", "done": done, "total": 3, "unit": "rows"}))
    say(Event("note", "a detail", {"detail": True}))
    say(Event("note", "a note"))
    say(Event("warning", "the loss jumped", {"code": "T203", "step": 3}))
    say(Event("step", "", {"step": 50, "epoch": 0.5, "train": 1.0, "validation": float("nan"), "macro_f1": 0.5, "best": True, "learning_rate": 1e-4}))
    say(Event("done", "finished"))
    return {"ok": True, "findings": [], "ledger": {}, "lengths": {"p50": float("nan")}, "seconds": 0.5}


def test_stdout_is_the_answer_and_stderr_the_way(luthier, verb):
    verb("check", talkative)
    ran = luthier("check")
    assert ran.code == 0
    assert ran.err.splitlines()[:3] == ["reading", "a note", "warning[T203]: the loss jumped"]
    assert "a detail" not in ran.err and "nan" in ran.err and "1.0e-4" in ran.err
    assert "nothing wrong in 0.5 s" in ran.out and "reading" not in ran.out
    assert "a detail" in luthier("check", "-v").err


def test_a_number_that_was_worked_out_stands_with_its_reason(luthier, verb):
    def settle(*_, say, **__):
        say(Event("note", "training.epochs = 3: few rows", {"key": "training.epochs", "value": 3, "reason": "few rows"}))
        return {"ok": True, "findings": [], "ledger": {}}

    verb("check", settle)
    assert luthier("check").err.split() == ["training.epochs", "3", "few", "rows"]


@pytest.mark.parametrize(("rate", "words"), [(1500.0, "1.5k rows/s"), (3.0, "3.0 rows/s"), (0.04, "25 s a row"), (0.0, "")])
def test_pace(rate, words):
    assert pace(rate, "rows") == words


@pytest.mark.parametrize(("seconds", "words"), [(0.44, "0.4 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (249, "4 min 09 s"), (7500, "2 h 05 min")])
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(("count", "words"), [(3.14, "3.1"), (950, "950"), (3200, "3.2k"), (21400, "21k"), (1_400_000, "1.4M")])
def test_short_counts(count, words):
    assert short(count) == words


def test_a_long_task_in_a_pipe_tells_where_it_is(luthier, verb, monkeypatch):
    clock = iter(range(100, 1000, 10))
    monkeypatch.setattr("luthier.commands.progress.time", types.SimpleNamespace(monotonic=lambda: float(next(clock))))

    def slow(*_, say, **__):
        for done in range(0, 101, 25):
            say(Event("progress", "loss 1.0", {"task": "training", "done": done, "total": 100, "unit": "steps"}))
        return {"ok": True, "findings": [], "ledger": {}}

    verb("check", slow)
    lines = luthier("check").err.splitlines()
    assert lines[0] == "training 50/100 · 2.5 steps/s · 20 s left · loss 1.0" and len(lines) == 2
    assert luthier("check", "-q").err == ""


def test_the_rate_is_that_of_the_work_at_hand(luthier, verb, monkeypatch):
    """The same words for the next piece of work begin anew, and one report alone has no rate."""
    clock = iter([1, 101, 201, 301, 1001, 1021, 1041])
    monkeypatch.setattr("luthier.commands.progress.time", types.SimpleNamespace(monotonic=lambda: float(next(clock))))

    def twice(*_, say, **__):
        for done in (256, 512, 768, 1000, 100, 200, 300):
            say(Event("progress", "", {"task": "answers", "done": done, "total": 1000, "unit": "answers"}))
        return {"ok": True, "findings": [], "ledger": {}}

    verb("check", twice)
    lines = luthier("check").err.splitlines()
    assert lines[0].startswith("answers 512/1,000 · 2.6 answers/s") and lines[2] == "answers 1,000/1,000"
    assert lines[3] == "answers 100/1,000" and lines[4].startswith("answers 200/1,000 · 5.0 answers/s")


def test_json_is_one_object_on_stdout(luthier, verb):
    verb("check", talkative)
    ran = luthier("check", "--json")
    assert ran.out.count("\n") == 1 and ran.json["lengths"] == {"p50": None}
    assert "a note" in ran.err


def test_quiet_prints_the_answer_only(luthier, verb):
    verb("check", talkative)
    ran = luthier("check", "-q")
    assert ran.err == "" and "next:" not in ran.out and "nothing wrong" in ran.out


def test_a_pipe_gets_no_colour_and_whole_lines(luthier, verb):
    long = "word " * 80
    verb("check", {"ok": False, "findings": [{"code": "D110", "level": "error", "message": long, "rows": [1]}], "ledger": {}})
    ran = luthier("check")
    assert ran.code == 1 and "\x1b" not in ran.out + ran.err and long.strip() in ran.out


def test_control_characters_of_data_do_not_reach_the_terminal(luthier, verb):
    verb("predict", {"run": "r", "answers": [{"row": 1, "input": "x", "answer": "\x1b[31mred\x07\u202eback"}]})
    ran = luthier("predict", "r", "x")
    assert r"\x1b[31mred\x07\u202eback" in ran.out and "\x1b" not in ran.out


def on_a_terminal(*words: str, **environment: str) -> str:
    """What the program writes when stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-m", "luthier", *words], stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env={**clean, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the child has closed its end
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    child.wait(60)
    return seen.decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_colour_on_a_terminal_and_not_where_it_is_unwanted():
    assert "\x1b[" in on_a_terminal("explain", "D110")
    assert "\x1b[" not in on_a_terminal("explain", "D110", NO_COLOR="1").replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[2m", "")
    assert "\x1b[3" not in on_a_terminal("explain", "D110", "--no-color")


def test_module_and_script_are_one(tmp_path):
    assert program("--version").stdout == f"luthier {__version__}\n"


def test_json_error_of_a_real_process(tmp_path):
    done = program("config", "show", "--json", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and json.loads(done.stdout)["error"]["code"] == "R109"


def test_a_long_value_is_a_value(luthier, verb, outcome):
    """A word with `=` is looked up as a file first; one longer than any file name must not end in a traceback."""
    calls = verb("train", outcome)
    ran = luthier("train", "training.note=" + "x" * 5000)
    assert ran.code == 2 and "R101" in ran.err and not calls, "an unknown key, told as one"
