"""A talk that was shortened to fit, as the recipe asks, is shortened when it is asked too."""
import json

import luthier
from luthier.files import read_json

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4, "training.epochs": 1, "method": "full", "task.name": "chat"}


def test_talks_longer_than_the_context_are_asked_as_they_were_prepared(base, here, monkeypatch):
    """Where the oldest turns of a talk are dropped in training, they are dropped in the question too; a row is not first learned and then refused."""
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})

    def talk(number: int) -> list[dict]:
        turns = [(f"say {number} {at} " + "and " * 12, f"{number}") for at in range(6 if number % 3 == 0 else 1)]
        return [{"role": role, "content": content} for asked, said in turns for role, content in (("user", asked), ("assistant", said))]

    (here / "talks.jsonl").write_text("".join(json.dumps({"messages": talk(number)}) + "\n" for number in range(48)), encoding="utf-8")
    settings = {"model": str(base), **QUICK, "data.when_long": "drop_turns", "evaluation.contestants": ["majority", "base", "tuned"]}
    luthier.train("talks.jsonl", settings, name="long")
    ledger = read_json(here / "runs" / "long" / "ledger.json")
    assert ledger["test"]["used"] == ledger["test"]["rows_in"] and ledger["test"]["tokens"]["cut"] > 0, "a test row was to be too long"
    assert len((here / "runs" / "long" / "evaluation" / "tuned.jsonl").read_text().splitlines()) == ledger["test"]["used"]
