"""The verbs over real files and a real (tiny) base: what a person types, from data to answers."""
import json

import pytest
import torch

import luthier
from luthier.errors import CheckpointError, DataError, GateFailed, LuthierError, RecipeError, WorkFailed
from luthier.files import read_json
from luthier.runs.folder import Run
from luthier.verbs.comparing import chosen_rows

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def no_fresh_process(monkeypatch):
    """The reload check has tests of its own; here it would only cost the import of every library."""
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def ledger_balances(ledger):
    return all(
        split["rows_in"] == split["used"] + sum(split["left_out"].values())
        and (not split["tokens"] or split["tokens"]["in"] == split["tokens"]["learned"] + split["tokens"]["context"] + split["tokens"]["cut"])
        for split in ledger.values()
    )


def test_tickets_from_file_to_answers(base, tickets, here, no_fresh_process):
    made = luthier.init(str(tickets)).to_dict()
    assert made["task"] == "classification" and made["labels"] == 4
    assert len((here / "luthier.yaml").read_text().splitlines()) <= 10
    checked = luthier.check(None, {"model": str(base)}, show=1).to_dict()
    assert checked["ok"] and ledger_balances(checked["ledger"]) and checked["shown"]
    assert {kind for _, kind in checked["shown"][0]["spans"]} >= {"learned", "context", "special"}
    planned = luthier.plan(None, {"model": str(base)}).to_dict()
    assert planned["fits"] == "fits" and planned["memory"]["needed"] == sum(planned["memory"]["parts"].values())
    result = luthier.train(None, {"model": str(base), "method": "full", "training.epochs": 25, "training.learning_rate": 5e-3, **QUICK}, name="first")
    verdict = result.verdict
    assert {row["name"] for row in verdict["contestants"]} == {"majority", "nearest", "tfidf", "base", "prompt", "few_shot", "tuned"}
    values = {row["name"]: row["value"] for row in verdict["contestants"]}
    assert values["tuned"] > values["base"] + 0.3, "the label stands in the text: a few steps must find it"
    assert verdict == read_json(here / "runs" / "first" / "verdict.json")
    assert ledger_balances(read_json(here / "runs" / "first" / "ledger.json"))
    said = luthier.predict("first", "the green drum number 77 please").to_dict()["answers"]
    assert said[0]["label"] in ("red", "blue", "green", "black") and 0.25 <= said[0]["confidence"] <= 1
    again = luthier.evaluate("first", gates=["macro_f1=0.01"])
    tuned = {row["name"]: row["value"] for row in again.verdict["contestants"]}["tuned"]
    assert tuned == pytest.approx(values["tuned"]), "the model on the disk answers as the one in memory did"
    assert "evaluated twice" in again.verdict["sentence"]
    worst = luthier.examples("first", worst=3).to_dict()["rows"]
    assert len(worst) == 3 and worst[0]["origin"].startswith(str(tickets))


def test_a_gate_that_fails(base, tickets, here, no_fresh_process):
    luthier.train(tickets, {"model": str(base), "training.max_steps": 2, "evaluation.contestants": ["majority", "tuned"], **QUICK}, name="weak")
    try:
        result = luthier.evaluate("weak", gates=["macro_f1=0.999"])
    except GateFailed as failed:
        assert failed.exit_code == 4
    else:
        assert not all(gate["passed"] for gate in result.to_dict()["gates"])
    with pytest.raises(RecipeError, match="nothing measured"):
        luthier.evaluate("weak", gates=["beauty=1"])


def test_chat_learns_and_talks(base, chats, here, no_fresh_process):
    result = luthier.train(chats, {"model": str(base), "method": "full", "training.epochs": 8, "training.learning_rate": 1e-2, **QUICK}, name="talk")
    losses = [row["loss"] for row in Run(here / "runs" / "talk").rows("metrics.jsonl") if row["kind"] == "validation"]
    assert losses[-1] < 0.6 * losses[0]
    assert result.verdict["metric"] == "rouge_l"
    session = luthier.chat("talk")
    pieces = []
    first = session.ask("where is the red violin 1?", on_token=pieces.append)
    assert first["answer"] and "".join(pieces).strip() == first["answer"]
    session.reset()
    assert session.ask("where is the red violin 1?")["answer"] == first["answer"], "greedy answers repeat"
    assert luthier.predict("talk", "where is the red violin 1?").to_dict()["answers"][0]["answer"] == first["answer"], "chat and predict ask alike"


def test_plain_text(base, here, no_fresh_process):
    (here / "notes.txt").write_text("\n\n".join(f"the {colour} harp of number {number} is here" for number in range(20) for colour in ("red", "blue", "green")))
    result = luthier.train("notes.txt", {"model": str(base), "task": "causal_lm", "method": "full", "training.epochs": 3, "training.learning_rate": 1e-2, **QUICK}, name="text")
    values = {row["name"]: row["value"] for row in result.verdict["contestants"]}
    assert result.verdict["metric"] == "bits_per_character" and not result.verdict["higher_is_better"]
    assert values["tuned"] < 0.7 * values["base"]


def test_an_encoder_gets_a_head(tiny_bert, tickets, here, no_fresh_process):
    result = luthier.train(tickets, {"model": str(tiny_bert), "method": "lora", "training.epochs": 4, "training.learning_rate": 1e-2, **QUICK}, name="encoder")
    names = {row["name"] for row in result.verdict["contestants"]}
    assert names == {"majority", "nearest", "tfidf", "nearest_embedding", "probe", "tuned"}
    assert luthier.predict("encoder", "the red horn").to_dict()["answers"][0]["label"]


def test_a_run_that_fails_leaves_a_report(base, here, tickets, monkeypatch):
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": False, "sentence": "the saved model is NOT the one in memory"})
    with pytest.raises(WorkFailed, match="NOT the one in memory"):
        luthier.train(tickets, {"model": str(base), "training.max_steps": 1, "evaluation.contestants": ["majority", "tuned"], **QUICK}, name="broken")
    run = Run(here / "runs" / "broken")
    assert run.status() == "failed" and run.facts()["error"]["code"] == "X101"
    assert "NOT the one in memory" in (run.path / "report.html").read_text()


@pytest.mark.parametrize(
    "change, error, code",
    [
        ({"data.train": "absent.csv"}, LuthierError, None),
        ({"model": "./absent"}, RecipeError, "R111"),
        ({"task": "chat", "data.map": {"text": "text", "label": "label"}}, LuthierError, None),
        ({"training.epoch": 3}, RecipeError, "R101"),
        ({"data.min_learned_share": 0.9, "training.max_steps": 1}, DataError, "D411"),
    ],
)
def test_what_cannot_be_done_gets_a_sentence(base, tickets, here, change, error, code):
    with pytest.raises(error) as found:
        luthier.train(tickets, {"model": str(base), **QUICK, **change})
    assert found.value.message and (code is None or found.value.code == code)


def test_no_socket_is_opened(base, tickets, here, no_fresh_process, monkeypatch):
    """The whole journey works with the network pulled."""
    import socket

    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    luthier.train(tickets, {"model": str(base), "training.max_steps": 2, "evaluation.contestants": ["majority", "tuned"], **QUICK}, name="offline")


def test_resume_without_a_run(base, tickets, here):
    with pytest.raises(CheckpointError) as found:
        luthier.train(tickets, {"model": str(base), **QUICK}, resume=True)
    assert found.value.exit_code == 7 and "no unfinished run" in found.value.message


def test_two_runs_of_a_name(base, tickets, here, no_fresh_process):
    quick = {"model": str(base), "training.max_steps": 1, "evaluation.contestants": ["majority", "tuned"], **QUICK}
    luthier.train(tickets, quick, name="same")
    with pytest.raises(RecipeError, match="exists"):
        luthier.train(tickets, quick, name="same")
    assert json.loads((here / "runs" / "same" / "run.json").read_text())["status"] == "done"


def test_a_part_of_the_rows_stands_for_all_of_them():
    """A file sorted by label must not be judged by its first labels."""
    rows = [label for label in "abcdefgh" for _ in range(100)]
    assert set(chosen_rows(rows, 16)) == set("abcdefgh") and len(chosen_rows(rows, 16)) == 16
    assert chosen_rows(rows, None) == rows and chosen_rows(rows[:5], 16) == rows[:5]
