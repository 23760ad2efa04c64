"""Moments in 8 bits: the first update is PyTorch's own, the rest stays near it; embeddings keep float32; saved and put back, the same bits; what cannot be had is a sentence."""
import json

import pytest
import torch
from torch import nn

import luthier
from luthier.errors import RecipeError
from luthier.training import optimizer as plain
from luthier.training import quantised

HOW = {"weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


class Network(nn.Module):
    """An embedding, a matrix above the limit, one below it, and a vector."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.large, self.small, self.norm = nn.Embedding(128, 64), nn.Linear(64, 128, bias=False), nn.Linear(128, 8, bias=False), nn.Parameter(torch.ones(8))

    def forward(self, tokens):
        return self.small(torch.tanh(self.large(self.embed(tokens)))) * self.norm


def made(name: str, **more):
    network = Network()
    parameters = dict(network.named_parameters())
    if name == "adamw":
        return network, parameters, plain.adamw(parameters, **HOW)
    return network, parameters, quantised.make(name, parameters, exact=quantised.embeddings(network), multiples={}, **HOW, **more)


def steps(network, optimizer, numbers) -> list[float]:
    losses = []
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        tokens, wanted = torch.randint(0, 128, (32,), generator=generator), torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
        loss = ((network(tokens) - wanted) ** 2).mean()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-2
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def test_the_first_update_is_pytorchs_and_the_rest_is_near_it():
    ours, stock = made("adamw_8bit"), made("adamw")
    steps(ours[0], ours[2], [0]), steps(stock[0], stock[2], [0])
    for name in ours[1]:
        assert torch.allclose(ours[1][name], stock[1][name], atol=1e-6), name
    first, second = steps(ours[0], ours[2], range(1, 60)), steps(stock[0], stock[2], range(1, 60))
    assert first[-1] < 0.98 * first[0] and first == pytest.approx(second, rel=0.01)


def test_only_large_tensors_are_kept_in_eight_bits_and_their_bytes_are_what_is_planned():
    network, parameters, optimizer = made("adamw_8bit")
    steps(network, optimizer, [0])
    kept = {name: optimizer.state[tensor]["state1"].dtype for name, tensor in parameters.items()}
    assert kept == {"embed.weight": torch.float32, "large.weight": torch.uint8, "small.weight": torch.float32, "norm": torch.float32}
    held = {entry: tensor for entry, tensor in quantised.state_tensors(optimizer, parameters).items() if not entry.endswith("/step")}
    assert sum(tensor.numel() * tensor.element_size() for tensor in held.values()) == quantised.state_bytes("adamw_8bit", network)
    assert quantised.state_bytes("adamw", network) == quantised.state_bytes("paged_adamw", network) == 8 * sum(tensor.numel() for tensor in parameters.values())
    assert 8 * parameters["large.weight"].numel() / sum(tensor.numel() * tensor.element_size() for entry, tensor in held.items() if entry.startswith("large")) > 3.9


def test_matrices_decay_and_groups_learn_at_their_multiples():
    network = Network()
    parameters = dict(network.named_parameters())
    optimizer = quantised.make("adamw_8bit", parameters, exact=set(), multiples={"small.weight": 5.0}, **HOW)
    found = {(group["weight_decay"], group["multiple"]): len(group["params"]) for group in optimizer.param_groups}
    assert found == {(0.01, 1.0): 2, (0.01, 5.0): 1, (0.0, 1.0): 1}


def test_saved_and_put_back_it_goes_on_with_the_same_bits():
    whole = made("adamw_8bit")
    steps(whole[0], whole[2], range(8))
    broken = made("adamw_8bit")
    steps(broken[0], broken[2], range(4))
    saved = {name: tensor.clone() for name, tensor in quantised.state_tensors(broken[2], broken[1]).items()}
    again = made("adamw_8bit")
    again[0].load_state_dict(broken[0].state_dict())
    quantised.load_state(again[2], again[1], saved)
    steps(again[0], again[2], range(4, 8))
    assert all(torch.equal(tensor, again[1][name]) for name, tensor in whole[1].items())
    forgetful = made("adamw_8bit")
    forgetful[0].load_state_dict(broken[0].state_dict())
    steps(forgetful[0], forgetful[2], range(4, 8))
    assert not all(torch.equal(tensor, forgetful[1][name]) for name, tensor in whole[1].items()), "the comparison can tell a lost state"


def test_a_run_is_killed_and_goes_on_with_the_same_bits(tmp_path, monkeypatch, tiny_llama):
    from luthier.verbs import training

    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quantised, "SMALL", 512)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    rows = [{"messages": [{"role": "user", "content": f"where is {number}?"}, {"role": "assistant", "content": f"here {number % 4}"}]} for number in range(40)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = {
        "model": str(tiny_llama), "task": "chat", "method": "full", "data.test": 0, "training.optimizer": "adamw_8bit", "training.max_steps": 6, "training.save_every": 2, "training.evaluate_every": 4,
        "training.threads": 1, "training.precision": "fp32", "training.validation_rows": 2, "evaluation.max_new_tokens": 4,
    }
    luthier.train("chats.jsonl", words, name="whole")
    after = training.Trainer.after

    class Killed(BaseException):
        pass

    def last(self, step):
        after(self, step)
        if step.number == 5:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "after", last)
        with pytest.raises(Killed):
            luthier.train("chats.jsonl", words, name="killed")
    luthier.train(None, {}, resume="killed")
    kept = [(tmp_path / "runs" / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert kept[0] == kept[1]
    from safetensors.torch import load_file

    moments = load_file(tmp_path / "runs" / "whole" / "checkpoint-6" / "optimizer.safetensors")
    assert any(tensor.dtype == torch.uint8 for tensor in moments.values()), "8 bits were used"


def test_the_plan_knows_the_optimizer(tiny_llama, monkeypatch):
    import functools

    from luthier.errors import DoesNotFit
    from luthier.methods import METHODS
    from luthier.models.memory import MemoryPlan, plan_memory, require_room

    monkeypatch.setattr(quantised, "SMALL", 512)
    plans = {name: plan_memory(str(tiny_llama), METHODS["full"](), rows=1, length=16, moments=functools.partial(quantised.state_bytes, name)) for name in ("adamw", "adamw_8bit")}
    assert plans["adamw"].parts["optimizer"] == 8 * plans["adamw"].trainable == plan_memory(str(tiny_llama), METHODS["full"](), rows=1, length=16).parts["optimizer"]
    embedding = 263 * 32
    learned = plans["adamw_8bit"].trainable - embedding
    assert 8 * embedding + 2 * learned < plans["adamw_8bit"].parts["optimizer"] < 8 * embedding + 2.6 * learned, "a quarter, but for the embedding and norms"
    with pytest.raises(DoesNotFit) as caught:
        require_room(MemoryPlan({"weights": 10, "optimizer": 100}), 50)
    assert "adamw_8bit" in caught.value.hint


def test_what_cannot_be_had_is_a_sentence_before_anything_is_read(monkeypatch, tmp_path, tiny_llama):
    (tmp_path / "rows.csv").write_text("text,label\na,b\n")
    monkeypatch.chdir(tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(RecipeError, match="no CUDA device") as caught:
            luthier.train("rows.csv", {"model": str(tiny_llama), "training.optimizer": "paged_adamw_8bit"}, name="paged")
        assert caught.value.code == "R202" and not (tmp_path / "runs" / "paged" / "data").exists()
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(RecipeError, match="bitsandbytes") as caught:
        quantised.ready("adamw_8bit")
    assert caught.value.code == "R173" and "quant" in caught.value.hint
    quantised.ready("adamw")
