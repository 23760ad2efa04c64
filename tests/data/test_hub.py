"""The hub source: a data set without code of its own loads with its splits and class names; every way to fail gets a sentence."""
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from luthier.data.dataset import build
from luthier.data.settings import DataSettings
from luthier.data.sources import hub
from luthier.errors import DataError

CARD = """---
configs:
- config_name: plain
  default: true
  data_files:
  - split: train
    path: rows.jsonl
  - split: test
    path: held_out.jsonl
dataset_info:
- config_name: plain
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': calm
          '1': cross
---
"""


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A folder in the hub's layout: a card that declares splits and classes, and JSONL beside it."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "hub" / "user-name"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    for name, count in (("rows", 60), ("held_out", 20)):
        rows = ({"text": f"{name} {at}", "label": at % 2} for at in range(count))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.mark.parametrize(
    "name, parts",
    [
        ("user/name", ("user/name", None, None)), ("user/name:config@main", ("user/name", "config", "main")), ("user/name@refs/convert/parquet", ("user/name", None, "refs/convert/parquet")),
        ("hub:user/name", ("user/name", None, None)), ("name", None), ("a/b/c", None), ("../name", None), ("user/na me", None), ("/etc/passwd", None),
    ],
)
def test_names(name, parts):
    found = hub.parse_name(name)
    assert (found and (found.id, found.config, found.revision)) == parts


def test_splits_and_class_names(local):
    splits = hub.load(local)
    assert {name: len(list(split.rows(0))) for name, split in splits.items()} == {"train": 60, "test": 20}
    first = next(splits["train"].rows(0))
    assert first.values == {"text": "rows 0", "label": "calm"} and first.number == 1 and first.line is None
    assert splits["train"].fingerprint() == hub.load(local)["train"].fingerprint()


def test_a_data_set_is_built_from_it(local, tmp_path, monkeypatch):
    load = hub.load
    monkeypatch.setattr(hub, "load", lambda name: load(local))
    data = build(DataSettings(train="user/name"), folder=tmp_path / "data")
    assert data.count("test") == 20 and data.count("train") + data.count("validation") == 60 and data.labels == ["calm", "cross"]
    assert all(record.text.startswith("held_out") for record in data.iterate("test"))


class Answers(BaseHTTPRequestHandler):
    """A hub that refuses: gated, secret, or without the data set; it notes the token it was shown."""

    tokens: list = []

    def do_GET(self):
        self.tokens.append(self.headers.get("Authorization"))
        code, error = (403, "GatedRepo") if "gated" in self.path else (401, "RepoNotFound")
        self.send_response(code)
        self.send_header("X-Error-Code", error)
        self.send_header("X-Error-Message", error)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    served = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()


ASK = """
import json, sys
from luthier.data.sources import locate
from luthier.errors import DataError
found = []
for name in sys.argv[1:]:
    try:
        locate(name)
    except DataError as error:
        found.append([error.code, error.message, error.hint])
sys.stdout.write(json.dumps(found))
"""


def ask(tmp_path, *names, **environment):
    """What a fresh process says of these names, with a hub of our own (addresses are read when the library is loaded)."""
    environment = {**{key: value for key, value in os.environ.items() if not key.startswith("HF_")}, "HF_HOME": str(tmp_path), **environment}
    done = subprocess.run([sys.executable, "-c", ASK, *names], capture_output=True, text=True, env=environment, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_gated_and_unknown_names_get_a_sentence(server, tmp_path):
    Answers.tokens.clear()
    gated, unknown = ask(tmp_path, "user/gated-set", "user/nothing-here", HF_ENDPOINT=server, HF_TOKEN="hf_secret")
    assert gated[0] == unknown[0] == "D132"
    assert "user/gated-set" in gated[1] and ("gated" in gated[1].split("is", 1)[-1] or "may see" in gated[1])
    assert "no data set user/nothing-here" in unknown[1] and "spelling" in unknown[2]
    assert "Bearer hf_secret" in Answers.tokens, "HF_TOKEN is shown to the hub"
    assert "hf_secret" not in json.dumps([gated, unknown])


def test_offline_and_no_network_get_a_sentence(tmp_path):
    [offline] = ask(tmp_path, "user/name", HF_HUB_OFFLINE="1")
    assert offline[0] == "D132" and "offline mode is on" in offline[1]
    [dead] = ask(tmp_path, "user/name", HF_ENDPOINT="http://127.0.0.1:9")
    assert dead[0] == "D132" and "cannot be reached" in dead[1]


@pytest.mark.parametrize("text, word", [("Dataset scripts are no longer supported, but found x.py", "no code"), ("BuilderConfig 'x' not found. Available: ['a']", "name the configuration")])
def test_other_failures(text, word):
    error = hub.told("user/name", ValueError(text))
    assert isinstance(error, DataError) and word in f"{error.message} {error.hint}"
