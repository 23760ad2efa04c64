"""Real runs with all contestants of the recipe: retrieval over documents, several seeds, a random start."""
import json

import pytest
import torch

import luthier
from luthier.files import read_json
from luthier.runs.folder import Run

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4, "method": "full", "training.learning_rate": 5e-3}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def results(here, name):
    return read_json(here / "runs" / name / "evaluation" / "results.json")["contestants"]


def test_chat_with_documents_and_a_random_start(base, chats, here):
    (here / "papers.md").write_text("# where\n" + "\n".join(f"The {thing} is here." for thing in ("violin", "drum", "flute", "harp")))
    names = ["base", "prompt", "few_shot", "rag", "copy", "tuned", "tuned_rag", "scratch"]
    recipe = {"model": str(base), **QUICK, "training.epochs": 2, "evaluation.contestants": names, "retrieval.documents": "papers.md", "retrieval.passages": 1, "evaluation.shots": 1, "evaluation.max_rows": 8}
    verdict = luthier.train(chats, recipe, name="all").verdict
    assert {row["name"] for row in verdict["contestants"]} == set(names)
    found = results(here, "all")
    assert found["rag"]["tokens"]["input"] > found["base"]["tokens"]["input"] + 10, "passages stand in the prompt"
    assert found["tuned_rag"]["tokens"]["input"] > found["tuned"]["tokens"]["input"] + 10
    assert found["tuned"]["setup_seconds"] > 0.1 and found["scratch"]["setup_seconds"] > 0.1 and found["base"]["setup_seconds"] == 0
    assert found["base"]["memory_bytes"] > 10**7
    losses = [row["loss"] for row in Run(here / "runs" / "all" / "scratch").rows("metrics.jsonl") if row["kind"] == "validation"]
    assert losses[-1] < losses[0], "the random start is trained"
    again = luthier.evaluate("all").verdict
    assert {row["name"] for row in again["contestants"]} == set(names) - {"scratch"}
    values = ({row["name"]: row["value"] for row in one["contestants"]} for one in (verdict, again))
    first, second = values
    assert all(first[name] == pytest.approx(second[name]) for name in ("rag", "tuned_rag", "prompt")), "eval asks as train did"


def test_several_seeds_give_one_interval(base, chats, here):
    recipe = {"model": str(base), **QUICK, "training.max_steps": 30, "evaluation.contestants": ["majority", "tuned"], "evaluation.seeds": 2, "evaluation.max_rows": 6}
    luthier.train(chats, recipe, name="seeds")
    found = results(here, "seeds")["tuned"]
    values = [one["perplexity"] for one in found["seeds"]]
    assert len(values) == 2 and values[0] != values[1]
    assert found["metrics"]["perplexity"]["value"] == pytest.approx(sum(values) / 2)
    assert (here / "runs" / "seeds" / "seeds" / "18").is_dir() and json.loads((here / "runs" / "seeds" / "run.json").read_text())["status"] == "done"


def test_passages_in_training_and_in_every_question(base, here):
    """The answer stands in the papers only: with passages in its training prompts a tiny model learns to read it, and predict lays them as well."""
    things = ["violin", "drum", "flute", "harp", "piano", "cello", "guitar", "horn"]
    colours = {f"{thing} {number}": ["red", "blue", "green", "black"][(7 * at + number) % 4] for at, thing in enumerate(things) for number in range(18)}
    (here / "papers.txt").write_text("\n".join(f"{name} is {colour}." for name, colour in colours.items()))
    rows = [{"messages": [{"role": "user", "content": f"the {name}?"}, {"role": "assistant", "content": colour}]} for name, colour in colours.items()]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "model": str(base), **QUICK, "training.learning_rate": 1e-2, "training.max_steps": 20, "evaluation.contestants": ["base", "tuned", "tuned_rag"], "evaluation.max_rows": 6,
        "retrieval.documents": "papers.txt", "retrieval.passages": 1, "retrieval.words": 8, "retrieval.in_training": True,
    }
    luthier.train("rows.jsonl", recipe, name="led")
    plain = luthier.train("rows.jsonl", {**recipe, "retrieval.in_training": False}, name="plain")
    ledgers = [read_json(here / "runs" / name / "ledger.json")["train"] for name in ("led", "plain")]
    assert ledgers[0]["used"] == ledgers[1]["used"] and ledgers[0]["tokens"]["in"] > ledgers[1]["tokens"]["in"] + 8 * ledgers[0]["used"], "passages stand in the training prompts"
    assert ledgers[0]["tokens"]["learned"] == ledgers[1]["tokens"]["learned"] and plain.verdict, "and nothing of them is learned by heart"
    found = {name: results(here, name) for name in ("led", "plain")}
    assert found["led"]["tuned"]["tokens"]["input"] > found["plain"]["tuned"]["tokens"]["input"] + 8 and "tuned_rag" not in found["led"], "the model is judged as it will be asked"
    again = {row["name"]: row["value"] for row in luthier.evaluate("led").verdict["contestants"]}
    assert again["tuned"] == pytest.approx(found["led"]["tuned"]["metrics"]["rouge_l"]["value"])
    from luthier.verbs.opening import open_run

    led = open_run("led", lambda event: None)
    asked = led.led(["the harp 3?"])[0]
    assert asked.endswith("the harp 3?") and f"harp 3 is {colours['harp 3']}" in asked and open_run("plain", lambda event: None).led(["the harp 3?"]) == ["the harp 3?"]
    assert luthier.predict("led", "the harp 3?").to_dict()["answers"][0]["input"] == "the harp 3?"


def test_a_second_method_takes_the_baselines_of_the_first_run(base, chats, here, monkeypatch):
    """Lent while all is the same; asked again where a seed differs, where answers are missing, and where the recipe says so."""
    from luthier.evaluation.contestants import CONTESTANTS
    from luthier.verbs import comparing

    asked = []
    make = comparing.make
    monkeypatch.setattr(comparing, "make", lambda name, **materials: asked.append(name) or make(name, **materials))
    names = ["majority", "base", "few_shot", "tuned"]
    recipe = {"model": str(base), **QUICK, "training.max_steps": 2, "evaluation.contestants": names, "evaluation.max_rows": 6}

    def newly_asked(name, **more):
        asked.clear()
        luthier.train(chats, {**recipe, **{key.replace("__", "."): value for key, value in more.items()}}, name=name)
        return asked.copy()

    assert newly_asked("first") == names
    assert newly_asked("second", method="lora") == ["tuned"]
    first, second = results(here, "first"), results(here, "second")
    assert first["base"]["metrics"] == second["base"]["metrics"] and "answered in run first" in second["base"]["note"] and "answered in" not in first["base"]["note"]
    assert first["tuned"]["metrics"] != second["tuned"]["metrics"]
    assert newly_asked("other", seed=3) == names
    assert newly_asked("own", evaluation__reuse=False) == names
    for run in ("first", "own"):  # an answer is missing in every file that could be lent
        path = here / "runs" / run / "evaluation" / "base.answers.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert newly_asked("third") == ["base", "tuned"]
    assert {name for name in CONTESTANTS if not comparing.may_lend(name)} == {"tuned", "tuned_rag", "scratch", "endpoint"}
