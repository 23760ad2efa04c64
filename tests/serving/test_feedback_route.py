"""Thumbs and edits over HTTP become ratings and pairs that the data stage reads as they are; what says nothing is refused by name."""
import json
import urllib.error
import urllib.request

import pytest
from conftest import chat_model, start, tiny_host

from luthier.data.dataset import build
from luthier.data.records import Preference, Rated
from luthier.data.settings import DataSettings
from luthier.files import read_json_lines
from luthier.serving.routes import feedback
from luthier.verbs.guessing import recipe_of_data

TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Do you repair violins?"}]


@pytest.fixture(scope="module")
def shop(wordy_llama, tmp_path_factory):
    """A server that keeps feedback, and the folder where it does."""
    folder = tmp_path_factory.mktemp("feedback")
    host, renderer = tiny_host(wordy_llama)
    running = start([chat_model("shop", host, renderer, facts={"run": "shop"}), chat_model("ft:base/one", host, renderer)])
    running.service.more["feedback"] = feedback.Feedback(folder)
    yield running, folder
    running.stop()


def post(running, body: dict) -> tuple[int, dict]:
    request = urllib.request.Request(f"{running.address}/v1/feedback", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def rows(path) -> list[dict]:
    return read_json_lines(path)


def test_thumbs_and_edits_become_records_that_train_reads(shop, tmp_path):
    running, folder = shop
    for number in range(12):
        said = {"model": "shop", "messages": [TALK[0], {"role": "user", "content": f"Do you repair violin {number}? ü\u2028"}], "answer": f"No, not {number}."}
        status, told = post(running, {**said, "rating": "up" if number % 2 else "down", **({} if number % 3 else {"edit": f"Yes, bring {number} in."})})
        assert status == 200 and told["kept"] == (["ratings.jsonl"] if number % 3 else ["preferences.jsonl", "ratings.jsonl"])
    where = folder / "shop"
    assert len(rows(where / "ratings.jsonl")) == 12 and len(rows(where / "preferences.jsonl")) == 4
    for name, record, objective, count in (("ratings.jsonl", Rated, "kto", 12), ("preferences.jsonl", Preference, "dpo", 4)):
        mapping, _ = recipe_of_data(str(where / name))
        assert (mapping["task"], mapping["objective"]) == ("chat", objective)
        data = build(DataSettings(train=str(where / name), on_bad_row="skip", test=0, validation=0), record=record, folder=tmp_path / name, strict=False)
        assert data.count("train") == count
        first = data.records("train")[0]
        assert [message.role for message in first.messages] == ["system", "user"]
        assert (first.chosen, first.rejected) == ("Yes, bring 0 in.", "No, not 0.") if record is Preference else (first.answer, first.good) == ("No, not 0.", False)


def test_nothing_is_kept_of_what_says_nothing(shop):
    running, folder = shop
    said = {"model": "shop", "messages": TALK, "answer": "No."}
    before = sorted(path.stat().st_size for path in folder.rglob("*.jsonl"))
    for more, param in (({}, "rating"), ({"rating": "sideways"}, "rating"), ({"edit": " No. "}, "edit"), ({"rating": "up", "messages": [*TALK, {"role": "assistant", "content": "Hm"}]}, "messages"), ({"rating": "up", "answer": ""}, "answer"), ({"rating": "up", "shell": "x"}, "shell")):
        status, told = post(running, {**said, **more})
        assert status == 400 and told["error"]["param"] == param, (more, told)
    assert post(running, {**said, "model": "nobody", "rating": "up"})[0] == 404
    assert sorted(path.stat().st_size for path in folder.rglob("*.jsonl")) == before


def test_a_model_s_name_never_leads_out_of_the_folder(shop):
    running, folder = shop
    assert post(running, {"model": "ft:base/one", "messages": TALK, "answer": "No.", "rating": "up"})[0] == 200
    assert all(path.parent.parent == folder for path in folder.rglob("*.jsonl"))
    assert feedback.folder_of("../..") != feedback.folder_of("..-..") and "/" not in feedback.folder_of("../../x") and "." not in feedback.folder_of("..")


def test_a_server_without_a_place_for_it_says_so(shop):
    running, _ = shop
    kept = running.service.more.pop("feedback")
    try:
        assert post(running, {"model": "shop", "messages": TALK, "answer": "No.", "rating": "up"})[0] == 404
    finally:
        running.service.more["feedback"] = kept
