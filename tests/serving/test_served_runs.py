"""Real runs, served: tasks side by side on one base in memory, each answering as `predict` does."""
import pytest
from conftest import Running, start
from test_door import ask

from luthier.runs.events import silent
from luthier.verbs.opening import open_run
from luthier.verbs.predict import predict
from luthier.verbs.serving import aliases_of, open_models

TEXTS = ["the red violin number 2 please", "a green harp", "the black drum number 9 please"]


def served(names: list[str]) -> tuple[Running, list]:
    _, models = open_models(names, max_rows=8)
    found = start(models)
    for model in models:
        found.service.registry.add(model, *aliases_of(model))
    return found, models


def classified(running: Running, model: str) -> list[dict]:
    import json

    status, body, _ = ask(running.address, "POST", "/classify", headers={"Content-Type": "application/json"}, body=json.dumps({"model": model, "input": TEXTS}).encode())
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


@pytest.mark.parametrize("kinds", [("tickets", "spans")])
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
                assert {key: value for key, value in entry.items() if key != "index"} == answer


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
