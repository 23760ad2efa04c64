"""Real runs, served: tasks side by side on one base in memory, each answering as `predict` does."""
import json
import shutil
import threading
import time
from pathlib import Path

import openai
import pytest
from conftest import Running, start
from shapes import assert_shape
from test_door import ask

from luthier.errors import RecipeError
from luthier.runs.events import silent
from luthier.verbs.opening import open_run
from luthier.verbs.predict import predict
from luthier.verbs.serving import aliases_of, open_models

TEXTS = ["the red violin number 2 please", "a green harp", "the black drum number 9 please", "the blue piano\tand the red flute"]


def served(names: list[str]) -> tuple[Running, list]:
    _, models = open_models(names, max_rows=8)
    found = start(models)
    for model in models:
        found.service.registry.add(model, *aliases_of(model))
    return found, models


def classified(running: Running, model: str, texts: list[str] = TEXTS) -> list[dict]:
    status, body, _ = ask(running.address, "POST", "/classify", headers={"Content-Type": "application/json"}, body=json.dumps({"model": model, "input": texts}).encode())
    assert status == 200, body
    return json.loads(body)["data"]


def test_chat_labels_and_spans_on_one_base_at_once(trained):
    """One network in memory answers as a chat, as a classifier and as a tagger, each as its run alone."""
    names = [trained("chat"), trained("decoder-tickets"), trained("decoder-spans")]
    running, models = served(names)
    assert len({id(model.host) for model in models}) == 1 and len(models[0].host.bank.kept) == 3 and {model.id for model in models} == {"spruce", "chat", "decoder-tickets", "decoder-spans"}
    client = running.client()
    for text, wanted in zip(TEXTS, [answer["answer"] for answer in [predict(names[0], text).to_dict()["answers"][0] for text in TEXTS]], strict=True):
        for name in ("chat", "ft:spruce:chat"):
            found = client.chat.completions.create(model=name, messages=[{"role": "user", "content": text}], temperature=0, max_tokens=12).choices[0].message.content
            assert found == wanted
        assert client.chat.completions.create(model="spruce", messages=[{"role": "user", "content": text}], temperature=0, max_tokens=12).choices[0].message.content != wanted
    assert_as_predicted(running, names[1:])
    running.stop()


def assert_chats(running: Running, name: str, *, text: str = TEXTS[0]) -> str:
    """A served chat answers as `predict` does."""
    wanted = predict(name, text).to_dict()["answers"][0]["answer"]
    found = running.client().chat.completions.create(model=name.rsplit("/", 1)[-1], messages=[{"role": "user", "content": text}], temperature=0, max_tokens=12)
    assert found.choices[0].message.content == wanted
    return wanted


def test_lora_bottleneck_and_ia3_on_one_base_at_once(trained):
    """Three kinds of adapters and three tasks over one network in memory, each answering as its run alone."""
    names = [trained("chat"), trained("ia3-chat"), trained("adapter-tickets"), trained("decoder-spans")]
    running, models = served(names)
    assert len({id(model.host) for model in models}) == 1 and len(models[0].host.bank.kept) == 4
    texts = {assert_chats(running, name) for name in names[:2]}
    assert len(texts) == 2, "the two adapters write different texts"
    assert_as_predicted(running, names[2:])
    running.stop()


def test_a_run_on_a_quantised_base_never_shares_a_plain_one(trained):
    """QLoRA learned beside rounded weights: on the base as it came, its adapter would be another model without an error."""
    running, models = served([trained("chat"), trained("quantised")])
    assert len({id(model.host) for model in models}) == 2
    assert_chats(running, trained("quantised"))
    running.stop()


def test_a_run_trained_with_passages_is_asked_with_them(trained):
    running, _ = served([trained("led")])
    assert_chats(running, trained("led"))
    found = running.client().chat.completions.create(model="led", messages=[{"role": "user", "content": TEXTS[0]}], temperature=0, max_tokens=12)
    assert "red violin" in found.model_extra["passages"][0]["text"]
    running.stop()


@pytest.mark.parametrize("kinds", [("tickets", "spans"), ("tickets", "adapter-spans")])
def test_two_heads_over_one_encoder(trained, kinds):
    names = [trained(kind) for kind in kinds]
    running, models = served(names)
    assert len({id(model.host) for model in models}) == 1
    assert_as_predicted(running, names)
    assert_as_predicted(running, names[::-1])
    running.stop()


def assert_as_predicted(running: Running, names: list[str]) -> None:
    for name in names:
        opened = open_run(name, silent)
        wanted = opened.task.predict(opened.language_model, opened.renderer, TEXTS)
        found = classified(running, opened.run.name)
        for answer, entry in zip(wanted, found, strict=True):
            if "label" in answer:
                assert entry["label"] == answer["label"] and abs(max(entry["probs"]) - answer["confidence"]) < 1e-3 and abs(sum(entry["probs"]) - 1) < 1e-3
            else:
                assert {key: value for key, value in entry.items() if key not in ("index", "entities")} == answer
                assert entry["entities"] == [{"entity_group": span["label"], "score": span["confidence"], "word": span["text"], "start": span["start"], "end": span["end"]} for span in answer["spans"]]


def test_a_full_run_has_a_base_of_its_own(trained):
    running, models = served([trained("full"), trained("chat")])
    assert len({id(model.host) for model in models}) == 2
    client = running.client()
    text = predict(trained("full"), TEXTS[0]).to_dict()["answers"][0]["answer"]
    assert client.chat.completions.create(model="full", messages=[{"role": "user", "content": TEXTS[0]}], temperature=0, max_tokens=12).choices[0].message.content == text
    running.stop()


def test_documents_are_laid_before_questions_and_cited(trained, tmp_path):
    (tmp_path / "shop.md").write_text("# Hours\n\nThe shop opens at nine.\n\n# Repairs\n\nA violin is repaired within two weeks.\n")
    _, models = open_models([trained("chat")], max_rows=4, documents=str(tmp_path))
    running = start(models)
    client = running.client()
    asked = [{"role": "user", "content": "When is my violin repaired?"}]
    found = client.chat.completions.create(model="chat", messages=asked, temperature=0, max_tokens=8)
    passages = found.model_extra["passages"]
    assert "two weeks" in passages[0]["text"] and passages[0]["place"].endswith(":5") and "/" not in passages[0]["place"]
    plain, _ = served([trained("chat")])
    without = plain.client().chat.completions.create(model="chat", messages=asked, temperature=0, max_tokens=8)
    assert found.usage.prompt_tokens > without.usage.prompt_tokens and "passages" not in (without.model_extra or {})
    by_hand = [{"role": "user", "content": models[0].lead(asked[0]["content"], lambda text: True)[0]}]
    same = plain.client().chat.completions.create(model="chat", messages=by_hand, temperature=0, max_tokens=8)
    assert same.choices[0].message.content == found.choices[0].message.content and same.usage.prompt_tokens == found.usage.prompt_tokens
    running.stop()
    plain.stop()


# ---- while it runs ------------------------------------------------------------------------------
def test_a_run_is_loaded_replaced_and_unloaded_while_it_runs(trained, tmp_path, monkeypatch):
    """Under vLLM's names; a run is named and never a path."""
    from luthier.serving import app
    from luthier.serving.settings import ServerSettings
    from luthier.verbs.serve import serve

    monkeypatch.setenv("LUTHIER_RUNS", str(Path(trained("chat")).parent))
    wanted = [predict(trained(kind), TEXTS[0]).to_dict()["answers"][0]["answer"] for kind in ("chat", "ia3-chat")]
    made = serve(["spruce"], ServerSettings(port=0, max_jobs=0))
    found = Running(made.service, made.address, app.make_server(made.service, made.application), None)
    running = listening(made, found)
    client = running.client()

    def post(path: str, **body) -> tuple[int, dict]:
        status, told, _ = ask(running.address, "POST", path, headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())
        return status, json.loads(told)

    def said() -> str:
        return client.chat.completions.create(model="mine", messages=[{"role": "user", "content": TEXTS[0]}], temperature=0, max_tokens=12).choices[0].message.content

    assert post("/v1/load_lora_adapter", lora_name="mine", lora_path="chat")[1]["parent"] == "spruce" and said() == wanted[0]
    assert post("/v1/load_lora_adapter", lora_name="mine", lora_path="ia3-chat")[0] == 409 and said() == wanted[0]
    assert post("/v1/load_lora_adapter", lora_name="mine", lora_path="ia3-chat", load_inplace=True)[0] == 200 and said() == wanted[1]
    host = made.service.registry.find("mine").host
    assert len(host.bank.kept) == 1, "what was replaced has left"
    for bad, status in (("../chat", 400), ("/etc", 400), ("a/b", 400), ("..", 400), ("nothing", 404)):
        assert post("/v1/load_lora_adapter", lora_name="other", lora_path=bad)[0] == status
    assert post("/v1/load_lora_adapter", lora_name="spruce", lora_path="chat", load_inplace=True)[0] == 409
    assert post("/v1/unload_lora_adapter", lora_name="spruce")[0] == 409
    made.service.engine.call(lambda: time.sleep(0.5))  # an engine that has something else to do first
    assert post("/v1/unload_lora_adapter", lora_name="mine")[0] == 200
    with pytest.raises(openai.NotFoundError):
        said()
    running.stop()


def listening(made, found: Running) -> Running:
    """The server of a `serve`, run in a thread, once it is ready."""
    made.socket.listen(64)
    found.thread = threading.Thread(target=found.server.run, kwargs={"sockets": [made.socket]}, daemon=True)
    found.thread.start()
    while not (found.server.started and made.service.ready):
        found.thread.join(0.02)
    return found


# ---- one text becomes another --------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["summaries", "asked"])
def test_summaries_through_chat_are_those_of_predict(trained, kind):
    """An encoder-decoder, and a decoder that learned with an instruction before its sources: both are asked as they learned."""
    running, _ = served([trained(kind)])
    client, wanted = running.client(), predict(trained(kind), TEXTS[0]).to_dict()["answers"][0]["answer"]
    asked = {"model": kind, "messages": [{"role": "user", "content": TEXTS[0]}], "temperature": 0, "max_tokens": 12}
    found = client.chat.completions.create(**asked)
    assert_shape("chat.completion", found.model_dump(exclude_unset=True))
    assert found.choices[0].message.content == wanted and found.usage.prompt_tokens > 3
    pieces = [chunk for chunk in client.chat.completions.create(**asked, stream=True) if chunk.choices]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces) == wanted and pieces[-1].choices[0].finish_reason in ("stop", "length")
    for more in ({"messages": [{"role": "system", "content": "be brief"}, *asked["messages"]]}, *([{"n": 2}, {"temperature": 0.5}, {"logprobs": True}] if kind == "summaries" else ())):
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**{**asked, **more})
        assert refused.value.param == next(iter(more))
    running.stop()


# ---- abstention ---------------------------------------------------------------------------------
def examined(name: str, folder: Path, thresholds: list[dict] | None) -> str:
    """A copy of a run as if the calibration probe had found these thresholds."""
    copy = shutil.copytree(name, folder / Path(name).name)
    if thresholds is not None:
        (copy / "evaluation" / "probes.json").write_text(json.dumps({"calibration": {"details": {"thresholds": thresholds}}}))
    return str(copy)


def test_a_model_that_is_not_sure_enough_gives_no_label(trained, tmp_path):
    name = trained("decoder-tickets")
    opened = open_run(name, silent)
    sure = [answer["confidence"] for answer in opened.task.predict(opened.language_model, opened.renderer, TEXTS)]
    limit = (sorted(sure)[0] + sorted(sure)[-1]) / 2
    found, models = open_models([examined(name, tmp_path, [{"risk": 0.1, "threshold": limit, "answered": 0.5}])], max_rows=4, abstain=0.1)
    running = start(models)
    entries, plain = classified(running, "decoder-tickets"), opened.task.predict(opened.language_model, opened.renderer, TEXTS)
    assert {entry["abstained"] for entry in entries} == {True, False}
    for entry, answer, confidence in zip(entries, plain, sure, strict=True):
        assert entry["abstained"] == (confidence < limit) and entry["label"] == (None if entry["abstained"] else answer["label"])
        assert abs(entry["confidence"] - confidence) < 1e-3 and entry["threshold"] == limit and abs(sum(entry["probs"]) - 1) < 1e-3
    told = {model["id"]: model for model in json.loads(ask(running.address, "GET", "/v1/models")[1])["data"]}
    assert told["decoder-tickets"]["abstains"] == {"risk": 0.1, "threshold": limit, "answered": 0.5} and "abstains" not in told["spruce"]
    silent_count = sum(entry["abstained"] for entry in entries)
    assert f'luthier_labels_total{{abstained="yes",model_name="decoder-tickets"}} {silent_count}.0' in ask(running.address, "GET", "/metrics")[1].decode()
    with pytest.raises(openai.BadRequestError, match="/classify"):
        running.client().chat.completions.create(model="decoder-tickets", messages=[{"role": "user", "content": TEXTS[0]}])
    running.stop()


@pytest.mark.parametrize(("thresholds", "risk", "word"), [
    (None, 0.1, "no calibrated threshold"), ([{"risk": 0.1, "threshold": None, "answered": 0.0}], 0.1, "no confidence"), ([{"risk": 0.1, "threshold": 0.5, "answered": 0.5}], 0.03, "risk of 0.03"),
])  # fmt: skip
def test_a_model_that_cannot_promise_does_not_pretend(trained, tmp_path, thresholds, risk, word):
    with pytest.raises(RecipeError, match=word) as refused:
        open_models([examined(trained("decoder-tickets"), tmp_path, thresholds)], max_rows=4, abstain=risk)
    assert refused.value.code == "R188"


def test_without_labels_nothing_abstains(trained):
    with pytest.raises(RecipeError, match="gives labels"):
        open_models([trained("chat")], max_rows=4, abstain=0.1)


def test_the_threshold_comes_from_the_examination_of_the_run(trained, tmp_path, monkeypatch):
    """`eval --probe calibration` leaves a threshold for every risk that `--abstain` takes, on the scale of the confidence that is served: the fitted one."""
    from luthier.data.dataset import DataSet
    from luthier.evaluation.probes.calibration import RISKS
    from luthier.verbs.evaluate import evaluate

    monkeypatch.setenv("LUTHIER_RUNS", str(tmp_path / "runs"))
    copy = Path(examined(trained("tickets"), tmp_path / "runs", None))
    known = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**known, "calibration": {"temperature": 0.2}}))
    evaluate(str(copy), probes=["calibration"])
    found = json.loads((copy / "evaluation" / "probes.json").read_text())["calibration"]["details"]
    assert [entry["risk"] for entry in found["thresholds"]] == list(RISKS)
    running, _ = served([str(copy)])
    sure = [max(entry["probs"]) for entry in classified(running, "tickets", [record.text for record in DataSet(copy / "data").records("test")])]
    assert min(sure) == pytest.approx(found["curve"][-1]["confidence"], abs=1e-4) and max(sure) == pytest.approx(found["curve"][0]["confidence"], abs=1e-4)
    running.stop()
