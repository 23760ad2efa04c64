"""Foreign files cannot run code, leave their folder, or take memory: poisoned pickles, hostile configurations, paths and headers.

An audit hook listens while they are loaded: no pickle is read, nothing is executed, started or connected beyond what a clean load does.
"""
import contextlib
import io
import json
import os
import pickle
import struct
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests_shared import changed, edit_json

from luthier.errors import CheckpointError, LuthierError, RecipeError, Refused
from luthier.methods import METHODS
from luthier.models.configuration import read_configuration
from luthier.models.load import facts, load
from luthier.models.weights import read_header, read_headers, weight_files

WATCHED = ("pickle.find_class", "exec", "compile", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.getaddrinfo", "ctypes.dlopen", "import")
heard: list[str] = []
opened: list[str] = []
listening = False


def listen(event, arguments):
    if listening and event in WATCHED:
        heard.append(event)
    if listening and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(listen)


@contextlib.contextmanager
def audited():
    """Collect watched events; the caller has done one clean load before, so that lazy imports are over."""
    global listening
    heard.clear()
    opened.clear()
    listening = True
    try:
        yield heard
    finally:
        listening = False


@pytest.fixture(scope="module", autouse=True)
def warm(tiny_llama):
    load(str(tiny_llama))
    with contextlib.suppress(LuthierError):
        load(str(tiny_llama.parent / "nowhere"))


class Poison:
    """Creates a canary file when it is unpickled."""

    def __init__(self, canary: Path, way: str):
        self.canary, self.way = str(canary), way

    def __reduce__(self):
        if self.way == "open":
            return open, (self.canary, "w")
        if self.way == "system":
            return os.system, (f"touch '{self.canary}'",)
        return exec, (f"open({self.canary!r}, 'w').close()",)


def poisoned(canary: Path, kind: str, way: str) -> bytes:
    """Bytes of a poisoned file of many kinds."""
    payload = Poison(canary, way)
    if kind == "torch":
        stream = io.BytesIO()
        torch.save({"model.norm.weight": payload}, stream)
        return stream.getvalue()
    if kind == "legacy torch":
        stream = io.BytesIO()
        torch.save({"model.norm.weight": payload}, stream, _use_new_zipfile_serialization=False)
        return stream.getvalue()
    if kind == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(payload))
        return stream.getvalue()
    if kind == "numpy":
        stream = io.BytesIO()
        np.save(stream, np.array([payload], dtype=object), allow_pickle=True)
        return stream.getvalue()
    return pickle.dumps(payload, protocol=int(kind[-1]))


ALONE = ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "model.ckpt", "model.pkl", "weights.mdl", "model.joblib", "__0_0.distcp", "model.npy", ".hidden.mdl"]
KINDS = ["torch", "legacy torch", "zip", "numpy", "protocol 0", "protocol 2", "protocol 4", "protocol 5"]
CASES = [(name, "torch", "open") for name in ALONE] + [("pytorch_model.bin", kind, way) for kind in KINDS for way in ("open", "system", "exec")]
assert len(CASES) >= 30


@pytest.mark.parametrize(("name", "kind", "way"), CASES)
def test_weights_that_are_only_a_pickle_are_refused(name, kind, way, tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(poisoned(tmp_path / "canary", kind, way))
    with audited() as events, pytest.raises(Refused) as caught:
        load(str(folder))
    assert caught.value.exit_code == 9 and name in caught.value.message
    assert not (tmp_path / "canary").exists() and events == []


def test_the_poison_works(tmp_path):
    """Without the guard the canary appears: else the tests above would show nothing."""
    pickle.loads(poisoned(tmp_path / "canary", "protocol 4", "open"))
    assert (tmp_path / "canary").exists()


INSTEAD = ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize("name", INSTEAD)
@pytest.mark.parametrize("kind", ["torch", "protocol 0", "protocol 4"])
def test_a_pickle_under_a_good_name_is_refused(name, kind, tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    (folder / name).write_bytes(poisoned(tmp_path / "canary", kind, "open"))
    with audited() as events, pytest.raises(Refused):
        load(str(folder))
    assert not (tmp_path / "canary").exists() and events == []


BESIDE = ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt", "pytorch_model.bin", ".metadata", "a.distcp", ".x.mdl", "m.joblib", "o.npy"]


@pytest.mark.parametrize("name", BESIDE)
def test_a_pickle_beside_good_weights_is_never_opened_and_told(name, tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    (folder / name).write_bytes(poisoned(tmp_path / "canary", "torch", "open"))
    with audited() as events:
        language_model = load(str(folder))
    assert not (tmp_path / "canary").exists() and [event for event in events if event != "import"] == []
    assert not [path for path in opened if path.endswith(name)] and name in " ".join(language_model.notices)


def test_an_index_that_names_a_pickle_is_refused(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "a.bin").write_bytes(poisoned(tmp_path / "canary", "torch", "open"))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": "a.bin"}}))
    with audited() as events, pytest.raises(Refused):
        load(str(folder))
    assert events == [] and not (tmp_path / "canary").exists()


def test_a_pickled_adapter_is_refused(tiny_llama, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}))
    (folder / "adapter_model.bin").write_bytes(poisoned(tmp_path / "canary", "torch", "open"))
    with pytest.raises(Refused, match="adapter_model.bin"):
        METHODS["lora"]().load(load(str(tiny_llama)), folder)
    assert not (tmp_path / "canary").exists()


# ---- configurations -------------------------------------------------------------------------------
CODE = "import pathlib; pathlib.Path({canary!r}).touch()\nclass A: pass\n"
REMOTE = [
    {"auto_map": {"AutoConfig": "evil.A", "AutoModelForCausalLM": "evil.A"}}, {"trust_remote_code": True}, {"_attn_implementation_internal": "someone/kernel"},
    {"_attn_implementation": "someone/kernel"}, {"attn_implementation": "someone/kernel"}, {"custom_pipelines": {"x": {"impl": "evil.A"}}},
    {"_class_path": "os.system"}, {"__class__": "os"}, {"unknown": 1}, {"_name_or_path": "someone/else"}, {"_commit_hash": "x"}, {"torch_dtype": "__import__('os')"},
]


@pytest.mark.parametrize("fields", REMOTE, ids=lambda fields: next(iter(fields)))
def test_fields_that_choose_code_have_no_effect(fields, tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path, config=fields)
    (folder / "evil.py").write_text(CODE.format(canary=str(tmp_path / "canary")))
    with audited() as events:
        language_model = load(str(folder))
    assert not (tmp_path / "canary").exists() and "socket.connect" not in events and "exec" not in events and "subprocess.Popen" not in events
    assert language_model.network.config._attn_implementation == "sdpa" and type(language_model.network).__name__ == "LlamaForCausalLM"


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
def test_a_tokenizer_that_names_code_is_refused(name, tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    (folder / "evil.py").write_text(CODE.format(canary=str(tmp_path / "canary")))
    if not (folder / name).exists():
        (folder / name).write_text("{}")
    edit_json(folder / name, {"auto_map": {"AutoTokenizer": ["evil.A", None]}})
    with pytest.raises(Refused, match="names code"):
        load(str(folder))
    assert not (tmp_path / "canary").exists()


ABSURD = [
    {"num_hidden_layers": 10**12}, {"num_hidden_layers": 1000}, {"hidden_size": 10**9}, {"vocab_size": 10**12}, {"vocab_size": 10**7}, {"num_hidden_layers": -1},
    {"num_hidden_layers": 0}, {"num_attention_heads": 0}, {"num_attention_heads": 10**9}, {"intermediate_size": 10**15}, {"intermediate_size": 10**6},
    {"hidden_size": "many"}, {"hidden_size": 3.5}, {"vocab_size": True}, {"max_position_embeddings": 10**30}, {"head_dim": 10**9}, {"hidden_size": 33}, {"hidden_act": "os.system"},
]


@pytest.mark.parametrize("fields", ABSURD, ids=str)
def test_absurd_sizes_are_refused_fast_and_small(fields, tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path, config=fields)
    began = time.process_time()
    with pytest.raises((Refused, CheckpointError)):
        load(str(folder))
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a": 1, "a": 2}', "{" * 100_000, '{"a":' * 50 + "1" + "}" * 50, "\ufffe", '{"model_type": "llama", "hidden_size": NaN}'])
def test_damaged_configurations_are_a_sentence(text, tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises((Refused, RecipeError)):
        read_configuration(folder)


def test_a_configuration_of_gigabytes_is_not_read(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    with open(folder / "config.json", "r+b") as stream:
        stream.truncate(4 << 30)
    with pytest.raises(Refused, match="at most"):
        facts(str(folder))


def test_unknown_and_quantised_models_are_a_sentence(tiny_llama, tmp_path):
    with pytest.raises(RecipeError, match="model type"):
        load(str(changed(tiny_llama, tmp_path / "a", config={"model_type": "evil"})))
    with pytest.raises(RecipeError, match="quantised"):
        load(str(changed(tiny_llama, tmp_path / "b", config={"quantization_config": {"quant_method": "x"}})))


# ---- paths ----------------------------------------------------------------------------------------
BENDS = [
    "../{name}", "../../{name}", "x/../../{name}", "./../{name}", "{folder}/{name}", "/etc/passwd", "/windows/win.ini", "C:\\windows\\win.ini", "c:{name}", "..\\{name}", "\\\\host\\{name}",
    "%2e%2e/{name}", "\u2025/{name}", "\uff0e\uff0e/{name}", "..\u2215{name}", "..%c0%af{name}", "{name}\0.safetensors", "\0{name}", "~/{name}", "$HOME/{name}", "file:///{folder}/{name}",
    "sub/{name}", "{name}/", "{name}/.", "..;/{name}", "....//{name}", "../root-evil/{name}", "", ".", "..", " ", "\n", "{name}\n", "{name} ", "con.safetensors/..", "a" * 5000,
]
TARGETS = ["outside.safetensors", "secret.json", "secret.txt", "passwd", "model.bin", "weights"]


def test_no_path_of_an_index_leaves_its_folder(tiny_llama, tmp_path):
    """Hundreds of names: each refused or missing, and nothing outside is opened."""
    folder = changed(tiny_llama, tmp_path)
    secret = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for target in TARGETS:
        (tmp_path / target).write_bytes(b"secret")
    (tmp_path / "root-evil").mkdir()
    save_file(secret, tmp_path / "outside.safetensors")
    save_file(secret, tmp_path / "root-evil" / "outside.safetensors")
    count = 0
    for bend in BENDS:
        for target in TARGETS:
            name = bend.format(name=target, folder=tmp_path)
            (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
            with audited(), pytest.raises((Refused, CheckpointError, OSError)):
                read_headers(weight_files(folder))
            assert [path for path in opened if not path.startswith(str(folder))] == [], name
            count += 1
    assert count >= 200


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_links_that_lead_outside_are_refused(name, tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(Refused):
        load(str(folder))


# ---- headers ------------------------------------------------------------------------------------
def safetensors(header, data: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(begin, end, shape=(2,), dtype="F32", **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


GOOD = {"a": entry(0, 8), "b": entry(8, 16)}
HEADERS = {
    "length 2^63": safetensors(GOOD, length=2**63), "length 2^64-1": safetensors(GOOD, length=2**64 - 1), "length past the end": safetensors(GOOD, length=1000), "length 0": safetensors(GOOD, length=0),
    "cut in the length": b"\1\2\3", "empty": b"", "overlap": safetensors({"a": entry(0, 8), "b": entry(4, 12)}, b"\0" * 12), "hole": safetensors({"a": entry(0, 8), "b": entry(12, 20)}, b"\0" * 20),
    "trailing bytes": safetensors(GOOD, b"\0" * 17), "missing bytes": safetensors(GOOD, b"\0" * 15), "type too wide": safetensors({"a": entry(0, 8, dtype="F64")}, b"\0" * 8),
    "type unknown": safetensors({"a": entry(0, 8, dtype="PICKLE")}, b"\0" * 8), "shape too large": safetensors({"a": entry(0, 8, (2**62, 4))}, b"\0" * 8),
    "shape negative": safetensors({"a": entry(0, 8, (-2, -1))}, b"\0" * 8), "shape overflows": safetensors({"a": entry(0, 8, (2**32, 2**32, 2))}, b"\0" * 8), "shape of floats": safetensors({"a": entry(0, 8, (2.0,))}, b"\0" * 8),
    "offsets backwards": safetensors({"a": entry(8, 0)}, b"\0" * 8), "offsets negative": safetensors({"a": entry(-8, 0)}, b"\0" * 8), "name twice": safetensors(b'{"a":' + json.dumps(entry(0, 8)).encode() + b',"a":' + json.dumps(entry(8, 16)).encode() + b"}"),
    "not an object": safetensors(b"[1]"), "no JSON": safetensors(b"{" + b"x" * 50), "depth bomb": safetensors(b"{" + b'"a":[' * 100_000), "bad UTF-8": safetensors(b'{"\xff\xfe": 1}'), "field too many": safetensors({"a": entry(0, 8, code="x")}, b"\0" * 8),
    "field missing": safetensors({"a": {"dtype": "F32", "shape": [2]}}, b"\0" * 8), "entry is a list": safetensors({"a": [1, 2]}, b"\0" * 8), "a bool as offset": safetensors({"a": entry(False, 8)}, b"\0" * 8), "100 axes": safetensors({"a": entry(0, 4, (1,) * 100)}, b"\0" * 4),
}


@pytest.mark.parametrize("name", HEADERS)
def test_false_headers_are_refused_fast(name, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(HEADERS[name])
    began = time.process_time()
    with pytest.raises(Refused):
        read_header(path)
    assert time.process_time() - began < 0.1


def test_a_good_header_is_read(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(safetensors({**GOOD, "__metadata__": {"format": "pt"}, "none": entry(16, 16, (0, 5))}))
    assert {name: tensor.shape for name, tensor in read_header(tmp_path / "m.safetensors").items()} == {"a": (2,), "b": (2,), "none": (0, 5)}


def test_every_truncation_is_refused(tiny_llama, tmp_path):
    data = (tiny_llama / "model.safetensors").read_bytes()
    path = tmp_path / "model.safetensors"
    for size in [*range(0, 40), *np.linspace(40, len(data) - 1, 60).astype(int)]:
        path.write_bytes(data[:size])
        with pytest.raises(Refused):
            read_header(path)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    for name in ("x.safetensors", "y.safetensors"):
        save_file({"a": torch.ones(2)}, tmp_path / name)
    with pytest.raises(Refused, match="'a'"):
        read_headers([tmp_path / "x.safetensors", tmp_path / "y.safetensors"])


def test_loading_opens_no_socket(tiny_model):
    for name in ("llama", "gpt2", "qwen2"):
        tiny_model(name)
    with audited() as events:
        for name in ("llama", "gpt2", "qwen2"):
            load(str(tiny_model(name)))
    assert not {"socket.connect", "socket.getaddrinfo", "pickle.find_class", "subprocess.Popen"} & set(events)
