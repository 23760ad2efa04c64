"""Every reader of a model's files under damage: configuration, tensors, manifest, settings of an adapter."""
import json
import shutil

import pytest
import torch
from fuzzing import fuzzed
from safetensors.torch import save

from luthier import files
from luthier.errors import LuthierError
from luthier.methods import adapters
from luthier.models.configuration import read_configuration
from luthier.models.weights import read_header, read_tensors

COUNTS = [300, pytest.param(100_000, marks=pytest.mark.nightly)]
ADAPTER = {"peft_type": "LORA", "r": 4, "lora_alpha": 8.0, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "bias": "none", "rank_pattern": {"q_proj": 2}, "lora_dropout": 0.1}
TENSORS = save({"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}, metadata={"format": "pt"})


def configuration(path):
    shutil.copy(path, path.with_name("config.json"))
    return read_configuration(path.parent)


def adapter(path):
    shutil.copy(path, path.with_name(adapters.CONFIG))
    path.with_name(adapters.TENSORS).write_bytes(TENSORS)
    return adapters.read_config(path.parent, "LORA")


def tensors(path):
    read_header(path)
    return read_tensors([path])


def manifest(path):
    folder = path.parent / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("x")
    shutil.copy(path, folder / files.MANIFEST)
    return files.verify(folder)


def manifest_seed() -> bytes:
    entry = {"size": 1, "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    return files.manifest_text({"step": 3, "base": "f" * 64, "files": {"file": entry}}).encode()


@pytest.fixture(scope="module")
def seeds(tiny_model):
    return {
        "configuration": [(tiny_model(name) / "config.json").read_bytes() for name in ("llama", "gpt2", "qwen3")], "adapter": [json.dumps(ADAPTER).encode(), json.dumps(ADAPTER, indent=2).encode()],
        "tensors": [TENSORS], "manifest": [manifest_seed()],
    }


READERS = {"configuration": (configuration, ".json"), "adapter": (adapter, ".json"), "tensors": (tensors, ".safetensors"), "manifest": (manifest, ".json")}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", READERS)
def test_a_reader_under_damage(name, count, seeds, tmp_path, record_property):
    read, suffix = READERS[name]
    found = fuzzed(read, seeds[name], count, tmp_path / "a" / "folder", suffix=suffix, allowed=(LuthierError,))
    record_property("figure", ("C-20", f"damaged {name}", f"{count:,}: 0 crashes, slowest {1000 * found['slowest']:.0f} ms, {found['grown_mib']:.0f} MiB grown"))


def test_a_damaged_manifest_never_verifies(seeds, tmp_path):
    """What damage leaves standing is the manifest as it was."""
    good = seeds["manifest"][0]

    def read(path):
        manifest(path)
        assert path.read_bytes().rstrip() == good.rstrip()

    fuzzed(read, [good], 400, tmp_path / "b", suffix=".json", allowed=(LuthierError,))
