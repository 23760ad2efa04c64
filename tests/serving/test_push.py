"""Pushing to a hub: the real client against a local stand-in that speaks the hub's HTTP and keeps what it is sent."""
import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from luthier.errors import CheckpointError, DiskError, RecipeError
from luthier.files import staged_folder
from luthier.verbs.push import push


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: create, pre-upload, large files, commit."""

    repositories: dict[str, dict[str, bytes]] = {}
    large: dict[str, bytes] = {}
    tokens: list[str] = []

    def answer(self, value, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self) -> None:
        raw = self.body()
        token = self.headers.get("Authorization", "")
        self.tokens.append(token)
        if token != "Bearer good":
            return self.answer({"error": "Unauthorized"}, 401)
        if self.path == "/api/repos/create":
            wanted = json.loads(raw)
            name = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
            self.repositories.setdefault(name, {})
            return self.answer({"url": f"https://huggingface.co/{name}", "name": name})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(raw)["files"]
            return self.answer({"files": [{"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular", "shouldIgnore": False} for file in files]})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(raw)["objects"]
            return self.answer({"transfer": "basic", "objects": [{**item, "actions": {"upload": {"href": f"{self.base}/large/{item['oid']}"}}} for item in objects]})
        if "/commit/" in self.path:
            name = self.path.split("/api/models/")[1].split("/commit/")[0]
            for line in raw.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.repositories[name][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                elif entry["key"] == "lfsFile":
                    self.repositories[name][entry["value"]["path"]] = self.large[entry["value"]["oid"]]
            return self.answer({"commitUrl": f"{self.base}/{name}/commit/abc", "commitOid": "abc", "success": True})
        return self.answer({"error": self.path}, 404)

    def do_PUT(self) -> None:
        raw = self.body()
        self.large[hashlib.sha256(raw).hexdigest()] = raw
        self.answer({})

    def do_GET(self) -> None:
        good = self.headers.get("Authorization") == "Bearer good"
        self.answer({"id": "me/model", "sha": "abc", "siblings": [], "xetEnabled": False} if good else {"error": "Unauthorized"}, 200 if good else 401)

    def log_message(self, *_) -> None:
        pass

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def hub(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    Hub.repositories.clear()
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def folder(tmp_path):
    with staged_folder(tmp_path / "copy", run="shop") as staging:
        (staging / "config.json").write_text("{}")
        (staging / "README.md").write_text("---\nlicense: mit\n---\n")
        (staging / "model.safetensors").write_bytes(b"w" * 5000)
    return tmp_path / "copy"


def test_a_folder_arrives_whole(hub, folder):
    found = push(str(folder), "me/model", token="good", endpoint=hub).to_dict()
    assert found["files"] == 4 and found["commit"] == "abc" and found["run"] == "shop"
    assert Hub.repositories["me/model"] == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_changed_folder_is_never_sent(hub, folder):
    (folder / "config.json").write_text('{"a": 1}')
    with pytest.raises(CheckpointError):
        push(str(folder), "me/model", token="good", endpoint=hub)
    assert not Hub.repositories


def test_a_refused_token_and_a_name_that_is_none_are_told(hub, folder):
    with pytest.raises(RecipeError, match="refuses"):
        push(str(folder), "me/model", token="bad", endpoint=hub)
    for name in ("model", "a/b/c", "../x", "me/"):
        with pytest.raises(RecipeError):
            push(str(folder), name, token="good", endpoint=hub)


def test_a_hub_that_is_not_there_is_told(folder, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(DiskError):
        push(str(folder), "me/model", token="good", endpoint="http://127.0.0.1:9")
