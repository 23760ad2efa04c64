"""Who comes in: every route through the one door, keys kept as hashes, names of hosts that are ours, limits per key."""
import http.client
import json
import os
import socket
import time

import openai
import pytest
from conftest import chat_model, start, tiny_host
from shapes import assert_shape

from luthier.errors import Refused
from luthier.serving import app
from luthier.serving import door as door_module
from luthier.serving.door import Door, Key, new_key, read_keys, revoke_key
from luthier.serving.jobs.store import Store
from luthier.serving.jobs.supervisor import Supervisor
from luthier.serving.routes import tuning
from luthier.serving.settings import ServerSettings

PUBLIC = {"/health/live", "/health/ready"}
ASKED = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def guarded(wordy_llama, tmp_path_factory):
    """A server that needs keys, with all its routers; the keys of `full` and `small`."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = {"full": new_key(folder / "keys.json", "full"), "small": new_key(folder / "keys.json", "small", ("inference",), requests_per_minute=5), "narrow": new_key(folder / "keys.json", "narrow", streams=1)}
    host, renderer = tiny_host(wordy_llama)
    running = start([chat_model("base", host, renderer)], keys_file=folder / "keys.json", routers=(tuning.router,), settings=ServerSettings(port=0, header_seconds=1.0, body_seconds=1.0, max_choices=4))
    store = Store(folder / "state")
    running.service.more["tuning"] = tuning.Tuning(store, Supervisor(store, folder / "runs", lambda *_: [], lambda job: None), ("supervised",), lambda name: "x" if name == "base" else None, lambda job: [])
    yield running, keys, folder / "keys.json"
    running.stop()


def ask(address: str, method: str, path: str, *, headers: dict | None = None, body: bytes | None = None, raw_host: str | None = None) -> tuple[int, bytes, dict]:
    """One request, its path and headers exactly as given."""
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", raw_host if raw_host is not None else f"{host}:{port}")
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def bearer(key: str) -> dict:
    return {"Authorization": f"Bearer {key}"}


def test_every_route_without_a_key_is_401_except_the_two_probes(guarded):
    running, _, _ = guarded
    routes = list(app.leaves(running.server.config.app.app.routes))
    seen, answered = 0, set()
    running.service.door.failures_per_minute = 10**6
    for route in routes:
        for method in route.methods:
            path = route.path.replace("{name:path}", "base").replace("{anything:path}", "nowhere/at/all").replace("{file_id}", "file-1").replace("{job_id}", "ftjob-1").replace("{action}", "cancel")
            if method == "CONNECT":
                continue
            status, body, _ = ask(running.address, method, path)
            seen += 1
            if route.path in PUBLIC:
                answered.add(route.path)
                assert status == 200
            else:
                assert status == 401, (method, path, status)
    assert seen > 30 and answered == PUBLIC


def test_a_route_beside_the_door_cannot_be_built(guarded):
    """A route that is added later is behind the door without a word about it; what knows no dependencies is refused."""
    from fastapi import APIRouter
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    running, keys, _ = guarded
    application = running.server.config.app.app
    late = APIRouter()
    late.add_api_route("/late", lambda: {"late": True}, methods=["GET"])
    application.include_router(late)
    application.routes.insert(0, application.routes.pop())
    assert ask(running.address, "GET", "/late")[0] == 401 and ask(running.address, "GET", "/late", headers=bearer(keys["full"]))[0] == 200
    for beside in (Route("/beside", lambda request: PlainTextResponse("in")), Mount("/beside", PlainTextResponse("in"))):
        router = APIRouter()
        router.routes.append(beside)
        with pytest.raises(Refused):
            app.build_app(app.build_service(ServerSettings(port=0), fixed_keys=(Key("x", "0" * 64),)), (router,))


TRICKS = [
    *[("/v1/models", host) for host in ("a?", "a/", "a#", "a@b", "127.0.0.1@evil", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", " ", "[::1", "127.0.0.1:80:80", "localhost%00", "LOCALHOST.", "0x7f.1", "2130706433")],
    *[(f"{left}v1/models{right}", None) for left in ("/", "//", "/./", "/x/../", "/%2e/", "/%2e%2e/", "/;/", "/health/live/../../", "/health/live/..;/", "/HEALTH/live/", "/health%2flive/") for right in
      ("", "/", "?", "#", ";a=b", "%00", "%20", "/.", "/..", "/%2e%2e", "?x=/health/live", "/../health/live", "/health/ready")],
    *[(path, None) for path in ("/health/live/", "/health/live/x", "/health//live", "//health/live", "/health/live%2f", "/health/live;x", "/Health/Live", "/health/live%00", "/./health/live", "/health/../v1/models", "*")],
    *[(f"http://{host}/v1/models", None) for host in ("127.0.0.1", "evil.example", "localhost")],
]
HEADERS = [
    {}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Original-URL": "/health/live"}, {"X-Rewrite-URL": "/health/live"}, {"X-Forwarded-Host": "localhost"}, {"X-HTTP-Method-Override": "GET"},
    {"Authorization": "Bearer "}, {"Authorization": "Bearer null"}, {"Authorization": "Basic Og=="}, {"Authorization": "Bearer ' OR 1=1 --"}, {"Forwarded": "for=127.0.0.1;host=localhost"},
]


def test_two_hundred_tricks_of_host_and_path_open_nothing(guarded):
    running, _, _ = guarded
    running.service.door.failures_per_minute = 10**6
    tried = 0
    for number, (path, host) in enumerate(TRICKS):
        headers = HEADERS[number % len(HEADERS)]
        try:
            status, body, _ = ask(running.address, "GET", path, headers=headers, raw_host=host)
        except (http.client.HTTPException, OSError):
            tried += 1  # the socket was closed: nothing came back
            continue
        tried += 1
        assert status in (400, 401, 404, 421), (path, host, status, body[:80])
        assert b'"data"' not in body and b"live" not in body or status != 200
    assert tried >= 170
    for headers in HEADERS:
        for path in ("/v1/models", "/metrics", "/", "/page/chat.js", "/v1/files"):
            assert ask(running.address, "GET", path, headers=headers)[0] == 401
            tried += 1
    assert tried >= 200


def test_a_foreign_host_or_origin_is_refused_even_without_keys(running):
    assert ask(running.address, "GET", "/v1/models", raw_host="evil.example")[0] == 421
    assert ask(running.address, "GET", "/v1/models", headers={"Origin": "https://evil.example"})[0] == 403
    port = running.address.rsplit(":", 1)[1]
    assert ask(running.address, "GET", "/v1/models", headers={"Origin": f"http://127.0.0.1:{port}"})[0] == 200
    assert ask(running.address, "GET", "/v1/models", raw_host=f"localhost:{port}")[0] == 200


def test_beyond_loopback_a_key_is_needed(tmp_path):
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(Refused) as refused:
            Door(host=host)
        assert refused.value.exit_code == 9
    assert Door(host="0.0.0.0", fixed=(Key("a", "0" * 64),)) and Door(host="127.0.0.1") and ServerSettings().host == "127.0.0.1"


def test_keys_are_kept_as_hashes_and_revoked_within_a_second(guarded):
    running, keys, path = guarded
    secret = new_key(path, "gone")
    assert secret not in path.read_text() and len(secret) >= 32 and os.stat(path).st_mode & 0o777 == 0o600
    assert ask(running.address, "GET", "/v1/models", headers=bearer(secret))[0] == 200
    assert ask(running.address, "GET", "/v1/models", headers={"Authorization": "Basic " + __import__("base64").b64encode(f"me:{secret}".encode()).decode()})[0] == 200
    revoke_key(path, "gone")
    began = time.monotonic()
    assert ask(running.address, "GET", "/v1/models", headers=bearer(secret))[0] == 401 and time.monotonic() - began < 1
    assert [key.name for key in read_keys(path)] == ["full", "small", "narrow"]


def test_a_change_within_one_beat_of_the_file_systems_clock_is_seen(tmp_path):
    """Time, size and inode tell nothing then; a key that is revoked so must not stay in for ever."""
    path = tmp_path / "keys.json"
    secret = new_key(path, "gone")
    door, before = Door(host="127.0.0.1", keys_file=path), path.stat()
    assert door.find(secret).name == "gone"
    other = path.read_text().replace(read_keys(path)[0].sha256, "0" * 64)
    path.write_text(other)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (before.st_mtime_ns, before.st_ino, before.st_size) == (after.st_mtime_ns, after.st_ino, after.st_size)
    assert door.find(secret) is None


def test_a_file_that_has_settled_is_read_once(tmp_path, monkeypatch):
    path, read = tmp_path / "keys.json", []
    secret = new_key(path, "kept")
    os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**10))
    monkeypatch.setattr(door_module, "read_keys", lambda found: read.append(found) or read_keys(found))
    door = Door(host="127.0.0.1", keys_file=path)
    assert door.find(secret) and door.find(secret) and len(read) == 1
    revoke_key(path, "kept")
    assert door.find(secret) is None


def test_scopes_and_limits_hold_for_one_key_and_no_other(guarded):
    running, keys, _ = guarded
    small = openai.OpenAI(base_url=f"{running.address}/v1", api_key=keys["small"], max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        small.fine_tuning.jobs.list()
    answers = []
    for _ in range(7):
        try:
            small.chat.completions.create(model="base", messages=ASKED, max_tokens=1)
            answers.append(200)
        except openai.RateLimitError as error:
            answers.append(429)
            assert int(error.response.headers["retry-after"]) >= 1
    assert answers == [200] * 5 + [429] * 2
    full = openai.OpenAI(base_url=f"{running.address}/v1", api_key=keys["full"], max_retries=0)
    assert full.chat.completions.create(model="base", messages=ASKED, max_tokens=1).choices


def test_what_one_key_has_another_does_not_see(guarded):
    running, keys, _ = guarded
    mine, other = (openai.OpenAI(base_url=f"{running.address}/v1", api_key=keys[name], max_retries=0) for name in ("full", "narrow"))
    kept = mine.files.create(file=("a.jsonl", b'{"messages": []}\n'), purpose="fine-tune")
    job = mine.fine_tuning.jobs.create(model="base", training_file=kept.id)
    assert not other.files.list().data and not other.fine_tuning.jobs.list().data
    for attempt in (lambda: other.files.retrieve(kept.id), lambda: other.files.content(kept.id), lambda: other.files.delete(kept.id), lambda: other.fine_tuning.jobs.retrieve(job.id),
                    lambda: other.fine_tuning.jobs.cancel(job.id), lambda: other.fine_tuning.jobs.list_events(job.id)):
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert mine.files.retrieve(kept.id).id == kept.id


def test_wrong_keys_are_slowed_down_and_the_memory_of_them_is_bounded(guarded):
    running, keys, _ = guarded
    door = running.service.door
    door.failures_per_minute = 10
    door.failures.clear()
    statuses = [ask(running.address, "GET", "/v1/models", headers=bearer(f"wrong{number}"))[0] for number in range(13)]
    assert statuses == [401] * 10 + [429] * 3
    for number in range(30_000):
        door.note_failure(f"10.0.{number // 256}.{number % 256}")
    assert len(door.failures) <= 10_000
    door.failures.clear()


@pytest.mark.parametrize("secret", ["'; DROP TABLE jobs; --", "\\x00", "%s%s%s", "\u00fc" * 50, "a" * 4000])
def test_strange_keys_are_just_wrong(guarded, secret):
    running, _, _ = guarded
    running.service.door.failures_per_minute = 10**6
    status, body, _ = ask(running.address, "GET", "/v1/models", headers={"Authorization": "Bearer " + secret.encode("latin-1", "ignore").decode("latin-1")})
    assert status == 401
    assert_shape("error", json.loads(body))


# ---- slow, large and broken ---------------------------------------------------------------------
def test_bodies_end(guarded):
    running, keys, _ = guarded
    headers = {**bearer(keys["full"]), "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(*running.address.removeprefix("http://").split(":"), timeout=20)
    connection.request("POST", "/v1/chat/completions", headers={**headers, "Content-Length": str(10**9)})
    assert connection.getresponse().status == 413
    for body, chunked in ((b" " * (5 << 20), False), ((b" " * (1 << 20) for _ in range(6)), True)):
        connection = http.client.HTTPConnection(*running.address.removeprefix("http://").split(":"), timeout=20)
        try:
            connection.request("POST", "/v1/chat/completions", body=body, headers=headers, encode_chunked=chunked)
            assert connection.getresponse().status == 413
        except (ConnectionResetError, BrokenPipeError):
            pass  # told and closed while the rest was still on its way
    assert ask(running.address, "POST", "/v1/chat/completions", headers={**headers, "Content-Encoding": "gzip"}, body=b"\x1f\x8b")[0] == 415


def test_slow_headers_and_slow_bodies_are_let_go(guarded):
    running, keys, _ = guarded
    host, port = running.address.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(50)]
    for one in slow[:25]:
        one.sendall(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    for one in slow[25:]:
        one.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {keys['full']}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    began = time.monotonic()
    assert ask(running.address, "GET", "/v1/models", headers=bearer(keys["full"]))[0] == 200 and time.monotonic() - began < 1
    for one in slow:
        one.settimeout(6)
        while one.recv(4096):
            pass
        one.close()
    assert time.monotonic() - began < 6


BROKEN = [
    b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"model": "base"}', b'{"model": "base", "messages": []}', b'{"model": 5, "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "base", "messages": [{"role": "user"}]}', b'{"model": "base", "messages": [{"role": "king", "content": "x"}]}', b'{"model": "base", "messages": [{"role": "user", "content": 5}]}',
    b'{"model": "base", "temperature": NaN, "messages": [{"role": "user", "content": "x"}]}', b'{"model": "base", "temperature": 1e999, "messages": [{"role": "user", "content": "x"}]}',
    b'{"a":' * 100_000, b"[" * 100_000, b'{"model": "base", "messages": [{"role": "user", "content": "\xff\xfe"}]}', b'{"model": "base", "messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"model": "base", "n": 1.5, "messages": [{"role": "user", "content": "x"}]}', b'{"model": "base", "stop": "", "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "base", "logit_bias": {"1": 1000}, "messages": [{"role": "user", "content": "x"}]}', b'{"model": "../../etc/passwd", "messages": [{"role": "user", "content": "x"}]}',
]


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/classify", "/tokenize", "/detokenize", "/v1/fine_tuning/jobs"])
def test_broken_bodies_are_told_and_never_an_error_inside(guarded, route):
    running, keys, _ = guarded
    headers = {**bearer(keys["full"]), "Content-Type": "application/json"}
    for body in BROKEN:
        status, found, _ = ask(running.address, "POST", route, headers=headers, body=body)
        assert 400 <= status < 500, (route, body[:60], status)
        error = assert_shape("error", json.loads(found))["error"]
        assert not any(word in error["message"] for word in ("Traceback", "/work", "/tmp", ".py", "site-packages"))
    assert ask(running.address, "POST", route, headers={**bearer(keys["full"]), "Content-Type": "text/plain"}, body=b"{}")[0] == 415
    assert ask(running.address, "GET", "/v1/models", headers=bearer(keys["full"]))[0] == 200


def test_every_answer_has_safe_headers(running):
    _, _, headers = ask(running.address, "GET", "/")
    assert "default-src 'none'" in headers["content-security-policy"] and "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and "server" not in headers
