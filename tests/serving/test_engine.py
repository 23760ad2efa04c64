"""What the engine promises: nothing leaks when clients leave, no more is taken than fits, adapters change under way, and an end that is clean."""
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from conftest import chat_model, start, tiny_host

from luthier.serving.fair import FairQueue
from luthier.serving.settings import ServerSettings

ASKED = [{"role": "user", "content": "Where is the violin?"}]
LONG = {"2": -100, "6": -100}  # the tokens that end a text


def quiet(engine, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while engine.busy:
        assert time.monotonic() < end, "something is still running"
        time.sleep(0.005)


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.nightly)])
def test_clients_that_leave_leave_nothing_behind(running, count):
    """Streams cut at a random moment, and whole answers nobody waits for."""
    chance, engine = random.Random(6), running.service.engine
    host, port = running.address.removeprefix("http://").split(":")
    hosts = {model.host for model in running.service.registry.models.values()}

    def leave(number: int) -> None:
        body = json.dumps({"model": chance.choice(["base", "one", "two"]), "messages": ASKED, "max_tokens": 150, "stream": number % 2 == 0, "logit_bias": LONG}).encode()
        one = socket.create_connection((host, int(port)))
        one.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        if number % 2 == 0:
            one.recv(1 + chance.randrange(2000))
        time.sleep(chance.uniform(0, 0.02))
        one.close()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(leave, range(count)))
    quiet(engine, 30)
    assert engine.waiting_cost == 0 and not engine.running and len(engine.queue) == 0
    assert all(host.batcher.free == host.max_rows and host.batcher.slots.board.end == 0 for host in hosts)
    assert all(model.users == 0 for model in running.service.registry.models.values())
    assert all(usage.running == 0 for usage in running.service.door.usage.values())


def test_a_stream_that_is_cut_stops_within_a_step(running):
    engine, client = running.service.engine, running.client()
    stream = client.chat.completions.create(model="one", messages=ASKED, max_tokens=200, stream=True, logit_bias=LONG)
    next(iter(stream))
    before = engine.steps
    stream.close()
    quiet(engine, 2)
    assert engine.steps - before < 120, "it would have written 200"


@pytest.mark.parametrize("streamed", [False, True])
def test_more_than_fits_waits_and_more_than_may_wait_is_told(wordy_llama, streamed):
    """429 with Retry-After for streams as well: what is refused before it begins is refused with its own status."""
    host, renderer = tiny_host(wordy_llama, max_rows=2)
    server = start([chat_model("base", host, renderer)], settings=ServerSettings(port=0, max_waiting=3))
    client = server.client()

    def ask(_) -> int:
        try:
            found = client.chat.completions.create(model="base", messages=ASKED, max_tokens=100, logit_bias=LONG, stream=streamed)
            return 200 if not streamed or [chunk.choices[0].finish_reason for chunk in found][-1] == "length" else 0
        except openai.RateLimitError as error:
            assert int(error.response.headers["retry-after"]) >= 1
            return 429

    with ThreadPoolExecutor(20) as pool:
        first = [pool.submit(ask, number) for number in range(2)]
        while len(host.batcher.seats) < 2 and not any(one.done() for one in first):  # two run before the others ask, so that three of those may wait
            time.sleep(0.001)
        answers = [*pool.map(ask, range(18)), *(one.result() for one in first)]
    assert set(answers) == {200, 429} and answers.count(200) >= 5
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="base", messages=ASKED, n=3)
    assert refused.value.param == "n"
    server.stop()


def test_what_can_never_fit_is_refused_at_once(wordy_llama):
    host, renderer = tiny_host(wordy_llama)
    found = start([chat_model("base", host, renderer)])
    found.service.engine.cache_bytes = 300 * host.bytes_per_token
    with pytest.raises(openai.BadRequestError) as refused:
        found.client().chat.completions.create(model="base", messages=ASKED, max_tokens=100)
    assert refused.value.code == "does_not_fit"
    found.stop()


def test_an_adapter_is_replaced_under_way_and_texts_stay_whole(wordy_llama, adapter_folder):
    """Requests finish on the version they began with; afterwards the new one answers; the old place is free again."""
    host, renderer = tiny_host(wordy_llama)
    places = [host.bank.add(adapter_folder(number)) for number in (0, 1)]
    found = start([chat_model("base", host, renderer), chat_model("x", host, renderer, place=places[0], parent="base"), chat_model("y", host, renderer, place=places[1], parent="base")])
    client, engine = found.client(), found.service.engine
    wanted = {name: client.chat.completions.create(model=name, messages=ASKED, temperature=0, max_tokens=60, logit_bias=LONG).choices[0].message.content for name in ("x", "y")}
    seen: list[str] = []

    def ask(_) -> None:
        seen.append(client.chat.completions.create(model="x", messages=ASKED, temperature=0, max_tokens=60, logit_bias=LONG).choices[0].message.content)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(40)]
        for number in range(20):
            engine.call(lambda number=number: engine.put(chat_model("x", host, renderer, place=host.bank.add(adapter_folder((number + 1) % 2)), parent="base"))).result()
            time.sleep(0.01)
        for one in asking:
            one.result()
    assert set(seen) == set(wanted.values()), "a text is one adapter's or the other's, never a mixture"
    quiet(engine)
    assert len(host.bank.kept) == 2
    assert client.models.delete("x").deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="x", messages=ASKED)
    with pytest.raises(openai.ConflictError):
        client.models.delete("base")
    found.stop()


def test_what_nobody_waits_for_any_more_is_not_done(wordy_llama):
    """A note that was cancelled before its turn, as when a client left: the engine passes it over and lives."""
    host, renderer = tiny_host(wordy_llama)
    found = start([chat_model("base", host, renderer)])
    engine, done = found.service.engine, []
    engine.call(lambda: time.sleep(0.2))
    given_up = engine.call(lambda: done.append("given up"))
    assert given_up.cancel()
    engine.call(lambda: done.append("wanted")).result(timeout=20)
    assert done == ["wanted"] and engine.alive
    assert found.client().chat.completions.create(model="base", messages=ASKED, max_tokens=3).choices
    found.stop()


def test_many_adapters_mixed_answer_as_each_alone(wordy_llama, adapter_folder):
    host, renderer = tiny_host(wordy_llama)
    models = [chat_model("base", host, renderer)] + [chat_model(f"a{number}", host, renderer, place=host.bank.add(adapter_folder(number)), parent="base") for number in range(8)]
    found = start(models)
    client = found.client()

    def ask(name: str) -> str:
        return client.chat.completions.create(model=name, messages=ASKED, temperature=0, max_tokens=25, logit_bias=LONG).choices[0].message.content

    alone = {model.id: ask(model.id) for model in models}
    with ThreadPoolExecutor(16) as pool:
        names = [model.id for model in models] * 4
        together = list(pool.map(ask, names))
    assert together == [alone[name] for name in names] and len(set(alone.values())) == 9
    found.stop()


def test_the_queue_is_fair():
    queue: FairQueue[str] = FairQueue()
    for number in range(50):
        queue.put("greedy", f"greedy {number}")
    served = [queue.take(10.0) for _ in range(10)]
    queue.put("modest", "modest 0")
    queue.put("modest", "modest 1")
    served = [queue.take(10.0) for _ in range(4)]
    assert sum(item.startswith("modest") for item in served) == 2, "who comes later does not stand behind fifty"
    assert len(queue) == 38


def test_a_failing_pass_ends_its_requests_and_nothing_else(wordy_llama, monkeypatch):
    host, renderer = tiny_host(wordy_llama)
    found = start([chat_model("base", host, renderer)])
    client = found.client()
    broken = {"on": True}
    real = host.batcher.forward

    def forward(*arguments):
        if broken["on"]:
            raise RuntimeError("/secret/path exploded")
        return real(*arguments)

    monkeypatch.setattr(host.batcher, "forward", forward)
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="base", messages=ASKED, max_tokens=3)
    assert "secret" not in refused.value.response.text
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="base", messages=ASKED, max_tokens=3, stream=True))
    broken["on"] = False
    assert client.chat.completions.create(model="base", messages=ASKED, max_tokens=3).choices and host.batcher.free == 16
    found.stop()


def test_told_to_end_it_finishes_what_is_at_hand(wordy_llama, tmp_path):
    """A whole process: SIGTERM with streams open; not ready at once, nothing new, every stream ends as it should, exit 0."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "LUTHIER_RUNS": str(tmp_path / "runs"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "luthier", "serve", str(wordy_llama), "--port", "0", "--json", "--rows", "8"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    address = json.loads(process.stdout.readline())["address"]
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="x", max_retries=0, timeout=60)
    wait_ready(address)
    streams = [client.chat.completions.create(model="wordy", messages=ASKED, max_tokens=200, stream=True, logit_bias=LONG) for _ in range(8)]
    for stream in streams:
        next(iter(stream))
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    refused = []
    try:
        client.chat.completions.create(model="wordy", messages=ASKED, max_tokens=2)
    except openai.APIStatusError as error:
        refused.append(error.status_code)
    except openai.APIConnectionError:
        refused.append("closed")
    ends = []
    threads = [threading.Thread(target=lambda stream=stream: ends.append([chunk.choices[0].finish_reason for chunk in stream][-1])) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ends == ["length"] * 8 and refused in ([503], ["closed"])
    assert process.wait(30) == 0, process.stderr.read()[-2000:]


def wait_ready(address: str) -> None:
    import urllib.request

    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_first_token_does_not_wait_for_the_next_step(wordy_llama, monkeypatch):
    """What the first pass wrote is told before the second begins."""
    host, renderer = tiny_host(wordy_llama)
    found = start([chat_model("base", host, renderer)])
    client, real, passes = found.client(), host.batcher.forward, []
    client.completions.create(model="base", prompt="The violin", max_tokens=1)
    monkeypatch.setattr(host.batcher, "forward", lambda *arguments: (passes.append(time.monotonic()), time.sleep(0.5), real(*arguments))[2])
    pieces = iter(client.completions.create(model="base", prompt="The violin", max_tokens=3, temperature=0, stream=True, logit_bias=LONG))
    assert next(pieces).choices[0].text
    assert 0.5 < time.monotonic() - passes[0] < 0.95, "two passes would take a second"
    list(pieces)
    found.stop()
