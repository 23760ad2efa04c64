"""The fine-tuning API of the hosted service through its stock client: files, jobs, events, checkpoints, pause, cancel, and the tuned model's answers."""
import io
import json
import threading
import time

import openai
import pytest
from conftest import Running
from shapes import assert_shape

from luthier.serving import app
from luthier.serving.settings import ServerSettings
from luthier.verbs.serve import serve

THINGS = ["violin", "drum", "flute", "harp", "piano", "cello", "guitar", "horn"]


def rows(count: int) -> bytes:
    pairs = [(thing, number) for number in range(count) for thing in THINGS][:count]
    return "".join(
        json.dumps({"messages": [{"role": "user", "content": f"where is {thing} {number}?"}, {"role": "assistant", "content": f"the {thing} is here"}]}) + "\n" for thing, number in pairs
    ).encode()


@pytest.fixture(scope="module")
def tuner(wordy_llama, tmp_path_factory):
    """A server that tunes, in a folder of runs of its own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LUTHIER_RUNS", str(tmp_path_factory.mktemp("tuning") / "runs"))
    patch.setenv("OMP_NUM_THREADS", "1")
    served = serve([str(wordy_llama)], ServerSettings(port=0))
    served.socket.listen(64)
    server = app.make_server(served.service, served.application)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [served.socket]}, daemon=True)
    thread.start()
    running = Running(served.service, served.address, server, thread)
    while not (server.started and served.service.ready):
        thread.join(0.02)
    yield running
    running.stop()
    served.tuning.supervisor.stop()
    patch.undo()


def wait_for(client, job_id: str, *statuses: str, seconds: float = 150):
    end = time.monotonic() + seconds
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in statuses:
        assert time.monotonic() < end and job.status not in ("failed", "cancelled"), (job.status, job.error, [event.message for event in client.fine_tuning.jobs.list_events(job_id).data])
        time.sleep(0.1)
    return job


def raw(found, name: str) -> dict:
    return assert_shape(name, json.loads(found.http_response.content))


def test_from_a_file_to_an_answer(tuner):
    client = tuner.client()
    uploaded = client.files.with_raw_response.create(file=("shop.jsonl", io.BytesIO(rows(64))), purpose="fine-tune")
    training = raw(uploaded, "file")
    assert training["filename"] == "shop.jsonl" and client.files.content(training["id"]).content == rows(64)
    validation = client.files.create(file=("valid.jsonl", io.BytesIO(rows(80)[-len(rows(16)):])), purpose="fine-tune")
    asked = {"model": "wordy", "training_file": training["id"], "suffix": "shop", "seed": 5, "metadata": {"who": "me"}}
    asked["method"] = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.5}}}
    made = client.fine_tuning.jobs.with_raw_response.create(**asked, extra_headers={"Idempotency-Key": "k1"})
    body = raw(made, "fine_tuning.job")
    assert body["status"] == "validating_files" and body["hyperparameters"]["n_epochs"] == 3
    assert client.fine_tuning.jobs.create(**asked, extra_headers={"Idempotency-Key": "k1"}).id == body["id"]
    with pytest.raises(openai.ConflictError):
        client.files.delete(training["id"])
    waiting = client.fine_tuning.jobs.create(model="wordy", training_file=training["id"], validation_file=validation.id, hyperparameters={"n_epochs": 1})
    assert client.fine_tuning.jobs.pause(waiting.id).status == "paused"
    job = wait_for(client, body["id"], "succeeded")
    raw(client.fine_tuning.jobs.with_raw_response.retrieve(body["id"]), "fine_tuning.job")
    assert job.fine_tuned_model.startswith("ft:wordy:shop:") and job.trained_tokens > 0 and job.seed == 5 and job.metadata == {"who": "me"}
    events = raw_list(client.fine_tuning.jobs.with_raw_response.list_events(job.id, limit=100), "fine_tuning.job.event")
    steps = [event["data"]["step"] for event in events if event["type"] == "metrics" and "train_loss" in event["data"]]
    assert steps == sorted(set(steps), reverse=True) and events[-1]["message"].startswith("Created") and events[0]["message"] == "The job has successfully completed"
    assert [event.id for event in client.fine_tuning.jobs.list_events(job.id, limit=2)] == [event["id"] for event in events], "the client's own paging finds every event once"
    checkpoints = raw_list(client.fine_tuning.jobs.checkpoints.with_raw_response.list(job.id), "fine_tuning.job.checkpoint")
    assert checkpoints and checkpoints[0]["step_number"] <= max(steps)
    csv = client.files.content(job.result_files[0]).content.decode().splitlines()
    assert csv[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy" and len(csv) == 1 + len(steps)
    question = [{"role": "user", "content": "where is harp 3?"}]
    while job.fine_tuned_model not in [model.id for model in client.models.list()]:
        time.sleep(0.05)
    tuned = client.chat.completions.create(model=job.fine_tuned_model, messages=question, temperature=0, max_tokens=30).choices[0].message.content
    assert tuned != client.chat.completions.create(model="wordy", messages=question, temperature=0, max_tokens=30).choices[0].message.content
    assert client.fine_tuning.jobs.cancel(waiting.id).status == "cancelled"
    assert [found.id for found in client.fine_tuning.jobs.list()] == [waiting.id, job.id]
    assert client.models.delete(job.fine_tuned_model).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=job.fine_tuned_model, messages=question)


def raw_list(found, name: str) -> list[dict]:
    body = json.loads(found.http_response.content)
    assert set(body) <= {"object", "data", "has_more", "first_id", "last_id"} and body["object"] == "list"
    return [assert_shape(name, item) for item in body["data"]]


def test_a_bad_file_is_told_with_its_line(tuner):
    client = tuner.client()
    bad = client.files.create(file=("bad.jsonl", io.BytesIO(rows(3) + b"{not json}\n")), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="wordy", training_file=bad.id)
    end = time.monotonic() + 30
    while (job := client.fine_tuning.jobs.retrieve(job.id)).status != "failed":
        assert time.monotonic() < end
        time.sleep(0.05)
    assert job.error.code == "invalid_training_file" and "line 4" in job.error.message and "/" not in job.error.message


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"method": {"type": "reinforcement"}}, "method.type"), ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 0}}}}, "method"), ({"model": "gpt-4o"}, "model"),
        ({"training_file": "file-none"}, "training_file"), ({"suffix": "../x"}, "suffix"), ({"integrations": [{"type": "wandb", "wandb": {"project": "x"}}]}, "integrations"),
        ({"extra_body": {"priority": 1}}, "priority"), ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}}}, "method"), ({"hyperparameters": {"beta": 0.1}}, "hyperparameters"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_name(tuner, more, param):
    client = tuner.client()
    there = client.files.create(file=("a.jsonl", io.BytesIO(rows(3))), purpose="fine-tune").id
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(**{"model": "wordy", "training_file": there, **more})
    assert refused.value.param.startswith(param)
    assert_shape("error", refused.value.response.json())


def test_lists_of_files_are_whole_and_ordered(tuner):
    """With the fields that the public document asks for, also where nothing is listed; what a list does not know is refused."""
    client = tuner.client()
    kept = [client.files.create(file=(f"{number}.jsonl", io.BytesIO(rows(2))), purpose="fine-tune").id for number in range(3)]
    body = json.loads(client.files.with_raw_response.list(limit=2).http_response.content)
    assert set(body) == {"object", "data", "has_more", "first_id", "last_id"} and body["has_more"] is True
    assert [body["first_id"], body["last_id"]] == [item["id"] for item in body["data"]] and len(body["data"]) == 2
    empty = json.loads(client.files.with_raw_response.list(purpose="batch").http_response.content)
    assert empty == {"object": "list", "data": [], "has_more": False, "first_id": "", "last_id": ""}
    down, up = [[file.id for file in client.files.list(order=order)] for order in ("desc", "asc")]
    assert down == up[::-1] and set(kept) < set(down), "both ways, through the client's own paging"
    for query, param in (({"before": "x"}, "before"), ({"order": "up"}, "order"), ({"limit": "0"}, "limit")):
        with pytest.raises(openai.BadRequestError) as refused:
            client.files.list(extra_query=query)
        assert refused.value.param == param
    with pytest.raises(openai.BadRequestError, match="metadata"):
        client.fine_tuning.jobs.list(extra_query={"metadata[who]": "me"})
    for number in kept:
        client.files.delete(number)


def test_other_purposes_and_empty_files_are_refused(tuner):
    client = tuner.client()
    for file, purpose in ((b"", "fine-tune"), (rows(1), "assistants")):
        with pytest.raises(openai.BadRequestError):
            client.files.create(file=("a.jsonl", io.BytesIO(file)), purpose=purpose)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve("file-..")
