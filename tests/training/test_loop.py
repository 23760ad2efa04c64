"""The loop guards the update: what is not finite changes nothing and is shown as it is; clipping and noise are exact."""
import math

import pytest
import torch
from torch import nn

from luthier.errors import NonFinite
from luthier.objectives.loss import Loss
from luthier.training.loop import key_noise, train
from luthier.training.optimizer import adamw, clip, gradients_of, norm_of, set_rate
from luthier.training.schedule import Schedule, warmup_steps
from luthier.training.watch import Watch


class Numbers:
    """A batch for the toy objective."""

    def __init__(self, number):
        self.rows = [[number]]
        self.value = torch.full((4, 3), 0.1 * (number + 1))


class Toy:
    """Squares of a layer's output; `spoil(step)` names the place to put a NaN or infinity."""

    def __init__(self, spoil=lambda step: None):
        self.spoil = spoil

    def batches(self, network, start):
        step = start
        while True:
            self.step = step + 1
            yield [Numbers(2 * step), Numbers(2 * step + 1)]
            step += 1

    def loss(self, network, batch):
        total = network(batch.value).square().sum()
        place = self.spoil(self.step)
        if place in ("nan", "inf"):
            total = total * float(place)
        if place == "gradient":
            total = total + (network.weight.sum() * 0).sqrt()  # the value is 0, the gradient is NaN
        return Loss(total, 12.0, 12)


def fresh(spoil=lambda step: None, dropout=0.0):
    torch.manual_seed(0)
    network = nn.Linear(3, 3)
    optimizer = adamw(dict(network.named_parameters()), weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8)
    return network, Toy(spoil), optimizer


def hash_of(network, optimizer):
    state = [value for entry in optimizer.state.values() for value in entry.values()]
    return [tensor.clone() for tensor in (*network.parameters(), *state)]


@pytest.mark.parametrize("place", ["nan", "inf", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(place):
    network, objective, optimizer = fresh(lambda step: place if step == 4 else None)
    before = rate = None
    for step in train(network, objective, optimizer, Schedule(1e-2, 10, 0, "linear"), steps=10, seed=1):
        if step.number == 4:
            assert not step.finite and step.updates == 3
            assert not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm))
            assert all(torch.equal(a, b) for a, b in zip(before, hash_of(network, optimizer), strict=True))
            rate = step.learning_rate
        if step.number == 5:
            assert step.learning_rate == rate, "the schedule waits for the update that was left out"
        before = hash_of(network, optimizer)
    assert all(torch.isfinite(tensor).all() for tensor in network.parameters())


def test_the_run_stops_after_too_many_in_a_row():
    network, objective, optimizer = fresh(lambda step: "nan" if step >= 3 else None)
    watch, seen = Watch(max_nonfinite=3), []
    with pytest.raises(NonFinite) as stopped:
        for step in train(network, objective, optimizer, Schedule(1e-2, 10, 0, "linear"), steps=10, seed=1):
            seen += watch.step(step)
    assert stopped.value.exit_code == 5 and "step 5" in stopped.value.message
    assert [event.data["step"] for event in seen] == [3, 4]
    assert stopped.value.rows, "the batch is named"


def test_clipping_reaches_the_norm_exactly():
    torch.manual_seed(0)
    network = nn.Linear(50, 50)
    (network(torch.randn(8, 50) * 100).square().sum()).backward()
    gradients = gradients_of(network)
    clip(gradients, norm_of(gradients), 1.0)
    assert norm_of(gradients) <= 1 + 1e-6


def test_noise_is_a_function_of_seed_step_and_purpose():
    def drawn(*key):
        key_noise(*key)
        return torch.rand(4)

    assert torch.equal(drawn(1, 5, 0, "dropout"), drawn(1, 5, 0, "dropout"))
    assert not torch.equal(drawn(1, 5, 0, "dropout"), drawn(1, 5, 1, "dropout"))
    assert not torch.equal(drawn(1, 5, 0, "dropout"), drawn(2, 5, 0, "dropout"))


@pytest.mark.parametrize("shape, middle", [("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)])
def test_schedules_by_hand(shape, middle):
    schedule = Schedule(1.0, 20, 4, shape)
    assert [schedule.rate(n) for n in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert schedule.rate(12) == pytest.approx(middle)
    assert schedule.rate(20) == pytest.approx(0.0 if shape != "constant" else 1.0)
    assert warmup_steps(0.1, 50) == 5 and warmup_steps(7, 50) == 7


def test_vectors_do_not_decay():
    network = nn.Linear(3, 3)
    optimizer = adamw(dict(network.named_parameters()), weight_decay=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8)
    decays = {tuple(p.shape): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {(3, 3): 0.1, (3,): 0.0}


def test_a_multiple_of_the_rate_is_learned_at():
    """Adam's first step has the size of the rate, whatever the gradient."""
    torch.manual_seed(0)
    old, new = nn.Linear(3, 3), nn.Linear(3, 3)
    named = {f"{place}.{name}": tensor for place, layer in (("old", old), ("new", new)) for name, tensor in layer.named_parameters()}
    before = {name: tensor.detach().clone() for name, tensor in named.items()}
    optimizer = adamw(named, weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-12, multiples=dict.fromkeys(("new.weight", "new.bias"), 50.0))
    new(old(torch.randn(4, 3)).tanh()).square().sum().backward()
    set_rate(optimizer, 1e-4)
    optimizer.step()
    moved = {name: (tensor - before[name]).abs().mean().item() for name, tensor in named.items()}
    assert moved == pytest.approx({"old.weight": 1e-4, "old.bias": 1e-4, "new.weight": 5e-3, "new.bias": 5e-3}, rel=1e-2)
