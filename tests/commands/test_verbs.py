"""Each verb of the command line: what it passes on, and what it prints of the answer."""

import csv
import io
import json
import re

import pytest

from luthier.errors import GateFailed


# ---- what is passed on -----------------------------------------------------------------------------------------------
def passed(calls: list) -> tuple:
    (positional, named), = calls
    return positional, {name: value for name, value in named.items() if name != "say"}


@pytest.mark.parametrize(
    ("words", "positional", "named"),
    [
        (["check"], (None, []), {"show": 0, "quick": False, "against": None}),
        (["check", "luthier.yaml", "--quick", "--against", "exam.jsonl"], ("luthier.yaml", []), {"quick": True, "against": "exam.jsonl"}),
        (["check", "luthier.yaml", "training.epochs=2", "--show", "3"], ("luthier.yaml", ["training.epochs=2"]), {"show": 3}),
        (["check", "seed=1", "--on-bad-row=skip"], (None, ["seed=1", "data.on_bad_row=skip"]), {"show": 0}),
    ],
)
def test_check_passes_on(luthier, verb, words, positional, named):
    calls = verb("check", {"ok": True, "findings": [], "ledger": {}})
    assert luthier(*words).code == 0
    given, others = passed(calls)
    assert given == positional and named.items() <= others.items()


def test_a_file_with_an_equals_sign_in_its_name_is_the_target(luthier, verb, tmp_path):
    calls = verb("check", {"ok": True, "findings": [], "ledger": {}})
    (tmp_path / "a=b.csv").touch()
    luthier("check", "a=b.csv", "seed=3")
    assert passed(calls)[0] == ("a=b.csv", ["seed=3"])


@pytest.mark.parametrize(
    ("words", "positional", "named"),
    [
        ([], (None, []), {"resume": None, "name": ""}),
        (["training.epochs=2", "--name", "mine"], (None, ["training.epochs=2"]), {"resume": None, "name": "mine"}),
        (["--resume"], (None, []), {"resume": True, "name": ""}),
        (["--resume", "quiet-otter"], (None, []), {"resume": "quiet-otter", "name": ""}),
        (["quiet-otter", "--resume", "seed=3"], (None, ["seed=3"]), {"resume": "quiet-otter", "name": ""}),
        (["luthier.yaml", "--resume"], ("luthier.yaml", []), {"resume": True, "name": ""}),
        (["--on-bad-row", "skip"], (None, ["data.on_bad_row=skip"]), {"resume": None, "name": ""}),
        (["last", "--resume", "--allow-change", "seed"], (None, []), {"resume": "last", "allow_change": ["seed"], "name": ""}),
    ],
)
def test_train_passes_on(luthier, verb, outcome, words, positional, named):
    calls = verb("train", outcome)
    assert luthier("train", *words).code == 0
    assert passed(calls) == (positional, {"allow_change": []} | named)


def test_a_mistyped_key_is_told_before_the_verb_is_loaded(luthier, verb, outcome):
    calls = verb("train", outcome)
    ran = luthier("train", "training.epoch=2")
    assert ran.code == 2 and "did you mean `training.epochs`?" in ran.err and not calls


def test_init_passes_on_and_asks_before_replacing(luthier, verb, tmp_path):
    answer = {"file": "luthier.yaml", "data": "t.csv", "rows": 12, "columns": ["a", "b"], "task": "classification", "map": {"text": "a"}, "labels": 2, "notes": ["a note"]}
    calls = verb("init", answer)
    ran = luthier("init", "t.csv")
    assert ran.code == 2 and "luthier.yaml exists" in ran.err and "--yes" in ran.err and not calls
    assert luthier("init", "t.csv", "--yes", "--task", "chat", "--map", "text=a", "--map", "label=b=c").code == 0
    assert passed(calls) == (("t.csv",), {"task": "chat", "map": {"text": "a", "label": "b=c"}, "output": "luthier.yaml"})
    ran = luthier("init", "t.csv", "-o", "other.yaml")
    assert "12 rows · columns a, b" in ran.out and "text ← a" in ran.out and "next: luthier check" in ran.out


def test_init_refuses_a_map_without_a_column(luthier, verb):
    verb("init", {})
    assert "R108" in luthier("init", "t.csv", "-y", "--map", "text").err


def test_eval_passes_gates_on_and_exits_4(luthier, verb, outcome):
    gate = {"metric": "macro_f1", "value": 0.8, "bound": 0.85, "at_most": False, "passed": False}
    calls = verb("evaluate", {**outcome, "gates": [gate]})
    ran = luthier("eval", "last", "--gate", "macro_f1=0.85", "--gate", "accuracy=0.5", "--gate-max", "forgetting=0.02")
    assert passed(calls) == (("last",), {"gates": ["macro_f1=0.85", "accuracy=0.5"], "gates_max": ["forgetting=0.02"], "probes": [], "sweep": False, "harness": []})
    assert ran.code == 4 and "gate failed: macro_f1 0.8, wanted at least 0.85" in ran.out
    verb("evaluate", {**outcome, "gates": [{**gate, "passed": True}]})
    assert luthier("eval").code == 0

    def fail(*_, **__):
        raise GateFailed("macro-F1 is 0.8", code="G101")

    verb("evaluate", fail)
    assert luthier("eval", "--gate", "macro_f1=0.85").code == 4


# ---- what is printed -------------------------------------------------------------------------------------------------
def test_check_prints_ledger_findings_and_count(luthier, verb):
    findings = [
        {"code": "D110", "level": "error", "message": "empty text in 9 rows", "file": "t.csv", "line": 911, "column": 4, "field": "text", "rows": [910, 1, 2, 3, 4, 5], "count": 9, "hint": "fill them"},
        {"code": "D302", "level": "warning", "message": "a rare label", "rows": [], "hint": ""},
    ]
    ledger = {"train": {"rows_in": 1200, "used": 1188, "left_out": {"duplicate": 12, "empty": 0}, "tokens": {"in": 9000, "learned": 1000, "context": 7990, "cut": 10}}}
    verb("check", {"ok": False, "findings": findings, "ledger": ledger, "lengths": {"p50": 61, "max": 1930}, "minimum_detectable": 0.031, "seconds": 1.9})
    ran = luthier("check")
    lines = ran.out.splitlines()
    assert ran.code == 1
    assert "error[D110]: empty text in 9 rows" in lines and " --> t.csv:911:4 · field text · rows 910, 1, 2, 3, 4 +4 more" in lines and "hint: fill them" in lines
    assert any(line.split() == ["train", "1,200", "1,188", "9,000", "1,000", "7,990", "10", "12", "duplicate"] for line in lines)
    assert "tokens p50 61 · max 1,930" in ran.out and "0.031 or more" in ran.out
    assert "1 error, 1 warning in 1.9 s" in lines and lines.index("warning[D302]: a rare label") < lines.index("error[D110]: empty text in 9 rows")
    assert ran.out.rstrip().endswith("next: luthier check --fix  luthier explain D110")


def test_shown_tokens_are_marked_without_colour_too(luthier, verb):
    spans = [["<|user|>", "special"], ["hello\n", "context"], ["billing", "learned"]]
    verb("check", {"ok": True, "findings": [], "ledger": {}, "shown": [{"split": "train", "row": 17, "spans": spans}]})
    ran = luthier("check", "--show", "1")
    assert "train row 17" in ran.out and "⟨<|user|>⟩hello\n«billing»\n" in ran.out


@pytest.mark.parametrize(("fits", "code"), [("fits", 0), ("tight", 0), ("no", 3)])
def test_plan(luthier, verb, fits, code):
    verb("plan", {
        "fits": fits, "sentence": "it needs 6.9 of 8.0 GB", "change": "" if fits == "fits" else "halve it",
        "memory": {"needed": 6.9e9, "available": 8e9, "parts": {"weights": 6e8}}, "time": {"seconds": 245, "steps": 702}, "disk": {"needed": 9e8, "free": 8.3e10},
        "model": {"name": "spruce", "parameters": 5_000_000, "kind": "decoder", "context": 512}, "method": {"name": "lora", "trainable": 100_000, "loads_in": ["PEFT"]},
        "resolved": {"training.learning_rate": {"value": 2e-4, "reason": "because"}},
    })  # fmt: skip
    ran = luthier("plan")
    assert ran.code == code
    for words in (f"{fits}: it needs", "6.9 GB of 8.0 GB", "about 4 min 05 s (702 steps)", "5.0M parameters", "trains 100k weights (2.0%)", "training.learning_rate  0.0002  because"):
        assert words in ran.out, words
    assert ("hint: halve it" in ran.out) == (fits != "fits")


def test_the_verdict_is_drawn_best_first(luthier, verb, outcome):
    verb("train", outcome)
    ran = luthier("train")
    names = re.findall(r"^(tuned|tfidf|base|majority) ", ran.out, re.M)
    assert names[:4] == ["tuned", "tfidf", "base", "majority"]
    assert ran.out.startswith("Tuning helped. By 0.021 on 467 rows. Use it.\n")
    assert "0.851  0.841 - 0.861" in ran.out and "2.5 s" in ran.out and "0.2 ms" in ran.out and "< 0.1 ms" in ran.out
    assert "tuned minus tfidf, paired: +0.021  95 % [+0.004, +0.046]" in ran.out
    assert "run quiet-otter done in 4 min 09 s · report runs/quiet-otter/report.html" in ran.out


def test_a_verdict_where_lower_is_better(luthier, verb, outcome):
    outcome["verdict"] |= {"higher_is_better": False, "winner": "majority"}
    verb("train", outcome)
    assert re.findall(r"^(tuned|tfidf|base|majority) ", luthier("train").out, re.M)[0] == "majority"


def test_a_run_without_a_verdict(luthier, verb, outcome):
    verb("train", {**outcome, "verdict": None})
    assert luthier("train").out.startswith("run quiet-otter done")


def test_a_run_that_did_not_finish_is_no_success(luthier, verb, outcome):
    verb("train", {**outcome, "status": "failed", "verdict": None})
    assert luthier("train").code == 1


def test_demo_ends_with_one_question(luthier, verb, outcome):
    verb("demo", {**outcome, "question": {"input": "Do you repair\nviolins?", "base": "Once", "tuned": "Yes.", "target": "Yes!"}})
    out = luthier("demo").out
    assert re.search(r"asked  Do you repair violins\?\n +base  Once\n +tuned  Yes\.\n +target  Yes!", out)
    assert out.rstrip().endswith("now yours: luthier init FILE")


def test_examples(luthier, verb):
    rows = [{"row": 12, "origin": "t.csv:3310", "input": "money back", "target": "refund", "base": "billing", "tuned": "outage", "nll": 6.91, "score": 0}]
    calls = verb("examples", {"run": "r", "rows": rows})
    ran = luthier("examples", "last", "--worst", "2")
    assert passed(calls) == (("last",), {"worst": 2, "lost": False})
    assert "6.91  refund  billing  outage  money back  t.csv:3310" in ran.out


def test_report(luthier, verb):
    verb("report", {"run": "r", "html": "runs/r/report.html", "markdown": "runs/r/report.md"})
    assert "runs/r/report.html · runs/r/report.md" in luthier("report", "r").out


ANSWERS = [{"row": 1, "input": "=1+1", "label": "billing", "confidence": 0.931}, {"row": 2, "input": "b, c", "answer": "line\nbreak", "confidence": None}]


def test_predict_to_the_screen(luthier, verb):
    calls = verb("predict", {"run": "r", "answers": ANSWERS})
    out = luthier("predict", "r", "new.csv").out
    assert passed(calls) == (("r", "new.csv"), {})
    assert re.search(r"1  =1\+1 +billing +93\.1%", out) and "line break" in out
    verb("predict", {"run": "r", "answers": ANSWERS[:1]})
    assert luthier("predict", "r", "hello").out == "billing   93.1%\n"


def test_predict_to_csv_disarms_formulas(luthier, verb):
    verb("predict", {"run": "r", "answers": ANSWERS})
    rows = list(csv.DictReader(io.StringIO(luthier("predict", "r", "x", "--to", "csv").out)))
    assert rows[0] == {"row": "1", "input": "'=1+1", "answer": "billing", "confidence": "0.931"}
    assert (rows[1]["answer"], rows[1]["confidence"]) == ("line\nbreak", "")


def test_predict_to_jsonl(luthier, verb):
    verb("predict", {"run": "r", "answers": ANSWERS})
    assert [json.loads(line) for line in luthier("predict", "r", "x", "--to", "jsonl").out.splitlines()] == ANSWERS


def test_predict_refuses_an_unknown_form(luthier, verb):
    verb("predict", {})
    assert "screen, csv, jsonl" in luthier("predict", "r", "x", "--to", "xml").err


class Session:
    """A talk that echoes."""

    run_name = "r"

    def __init__(self):
        self.turns = []

    def reset(self):
        self.turns.clear()

    def ask(self, words, on_token=None):
        self.turns.append(words)
        answer = f"{len(self.turns)}: {words}"
        for piece in answer.split(" ") if on_token else []:
            on_token(piece + " ")
        return {"answer": answer}


def test_chat_asks_once(luthier, verb):
    calls = verb("chat", lambda *_, **__: Session())
    assert luthier("chat", "r", "--ask", "hello", "--temperature", "0.5").out == "1: hello\n"
    assert passed(calls) == (("r",), {"temperature": 0.5, "seed": 0})
    assert luthier("chat", "r", "--ask", "hello", "--json").json == {"run": "r", "answer": "1: hello"}


def test_chat_needs_a_terminal(luthier, verb, monkeypatch):
    verb("chat", lambda *_, **__: Session())
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert "--ask" in luthier("chat", "r").err


def test_chat_turns(luthier, verb, monkeypatch):
    verb("chat", lambda *_, **__: Session())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    words = iter(["one", "", "two", "/new", "three", "/quit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(words))
    ran = luthier("chat", "r")
    assert "1: one \n2: two \n1: three \n" in ran.out
