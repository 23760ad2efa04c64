"""The catalogue: every entry is whole, and the choice follows task, memory and network, and says why."""
import pytest

from luthier.models import catalogue
from luthier.models.catalogue import choose, entries
from luthier.tasks import TASKS

SMALL, LARGE = 4e9, 80e9


def chosen(task, *, gpu=False, memory=SMALL, online=True, here=()):
    return choose(task, accelerator=gpu, memory_free=memory, reachable=lambda: online, lies_here=lambda name: name in here)


def test_every_entry_is_whole():
    assert len({entry.name for entry in entries()}) == len(entries()) > 12
    for entry in entries():
        assert entry.kind in ("decoder", "encoder", "encoder_decoder") and entry.parameters > 1e6 and entry.context >= 256 and entry.licence and entry.languages
        assert set(entry.tasks) <= set(TASKS) | {"regression", "masked_lm"} and "/" in entry.name
        assert entry.memory("qlora") < entry.memory("lora") < entry.memory("full")


@pytest.mark.parametrize("task", sorted(set(TASKS)))
def test_every_task_has_a_base_that_can_learn_it(task):
    name, why = chosen(task)
    entry = next(entry for entry in entries() if entry.name == name)
    TASKS[task]().head(entry.kind)
    assert task in why and entry.licence in why and not entry.gated


def test_hardware_decides_the_size():
    size = {entry.name: entry.parameters for entry in entries()}
    cpu, gpu, large = (size[chosen("chat", gpu=gpu, memory=memory)[0]] for gpu, memory in ((False, LARGE), (True, 8e9), (True, LARGE)))
    assert cpu <= 200e6 < gpu < large
    name, why = chosen("chat", gpu=True, memory=1e9)
    assert name == "spruce" and "1.0 GB" in why and "reached" not in why, "nothing fits, and the network is not to blame"


def test_offline_takes_what_lies_here_else_spruce_with_a_warning():
    name, why = chosen("chat", online=False)
    assert name == "spruce" and "cannot be reached" in why and "HuggingFaceTB/SmolLM2-135M-Instruct" in why
    name, why = chosen("chat", gpu=True, memory=LARGE, online=False, here=("HuggingFaceTB/SmolLM2-135M-Instruct",))
    assert name == "HuggingFaceTB/SmolLM2-135M-Instruct" and "cache" in why


def test_gated_bases_are_never_chosen_and_the_hub_is_not_asked_offline(monkeypatch):
    for memory in (4e9, 8e9, 16e9, 40e9, 80e9):
        name, _ = chosen("chat", gpu=True, memory=memory)
        assert not any(entry.gated for entry in entries() if entry.name == name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(catalogue.socket, "create_connection", lambda *_, **__: pytest.fail("the hub was asked"))
    assert catalogue.hub_reachable() is False
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(catalogue.socket, "create_connection", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    monkeypatch.setattr(catalogue, "SECONDS", 0.2)
    assert catalogue.hub_reachable() is False


def test_the_cache_is_looked_into(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert not catalogue.cached("a/b")
    (tmp_path / "models--a--b" / "snapshots" / "x").mkdir(parents=True)
    (tmp_path / "models--a--b" / "snapshots" / "x" / "model.safetensors").touch()
    assert catalogue.cached("a/b")
