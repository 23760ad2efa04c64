"""Terms that hold a model near its start: their values by hand, their effect on a training, and nothing where they are 0."""
import copy

import pytest
import torch

from luthier.errors import CheckpointError, RecipeError
from luthier.methods.lora import LoRA
from luthier.models.divergence import kl_to_reference
from luthier.models.interpolation import between, snapshot
from luthier.models.load import load
from luthier.objectives.anchors import anchored, distance, frozen_copy, switched_off
from luthier.objectives.loss import Loss
from luthier.preparation.batches import Batch


def batch_of(model, seed=1):
    torch.manual_seed(seed)
    tokens = torch.randint(8, 200, (3, 12))
    weights = torch.ones(3, 12)
    weights[:, 0] = 0
    weights[0, 5:] = 0
    weights[1, 3] = 0.5
    return Batch(tokens, weights, None, None, None, [[0], [1], [2]])


class Plain:
    """Cross-entropy of a head, with something of its own."""

    own = "kept"

    def __init__(self, head):
        self.head = head

    def loss(self, network, batch):
        total, count = self.head.loss(network, batch.tokens_BT, batch.weight_BT)
        return Loss(total, count, batch.tokens_BT.numel())


@pytest.fixture
def model(tiny_llama):
    torch.set_num_threads(1)
    return load(str(tiny_llama))


def moved_copy(network, by=0.05):
    torch.manual_seed(3)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return other


def test_the_divergence_is_that_of_whole_logits(model):
    network, batch = moved_copy(model.network), batch_of(model)
    found = kl_to_reference(model.head, network, frozen_copy(model.network), batch)
    with torch.no_grad():
        base, own = (net(input_ids=batch.tokens_BT).logits[:, :-1].log_softmax(-1) for net in (model.network, network))
        wanted = ((base.exp() * (base - own)).sum(-1) * batch.weight_BT[:, 1:]).sum()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4) and wanted > 0.1
    found.backward()
    with_gradient = [name for name, parameter in network.named_parameters() if parameter.grad is not None and parameter.grad.abs().sum() > 0]
    assert len(with_gradient) > 5 and all(parameter.grad is None for parameter in model.network.parameters())
    assert kl_to_reference(model.head, model.network, frozen_copy(model.network), batch).item() == pytest.approx(0, abs=1e-5)


def test_the_gradient_of_the_divergence(model):
    batch, reference = batch_of(model), frozen_copy(model.network)
    network = moved_copy(model.network, 0.02)
    parameter = dict(network.named_parameters())["model.layers.0.mlp.up_proj.weight"]
    kl_to_reference(model.head, network, reference, batch).backward()
    direction = parameter.grad / parameter.grad.norm()
    values = []
    for step in (-1e-2, 1e-2):
        with torch.no_grad():
            parameter.add_(step * direction)
            values.append(kl_to_reference(model.head, network, reference, batch).item())
            parameter.sub_(step * direction)
    assert (values[1] - values[0]) / 2e-2 == pytest.approx(parameter.grad.norm().item(), rel=0.05)


def test_adapters_are_switched_off_for_the_reference(model):
    base, batch = copy.deepcopy(model.network), batch_of(model)
    method = LoRA(rank=4)
    network = method.apply(model)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    found = kl_to_reference(model.head, network, switched_off(method, network), batch)
    assert found.item() == pytest.approx(kl_to_reference(model.head, network, frozen_copy(base), batch).item(), rel=1e-4) and found.item() > 0.01


def test_micro_batches_train_alike(model):
    """The sum of the loss over the sum of the count is the same however rows are dealt out."""
    network, batch = moved_copy(model.network), batch_of(model)
    objective = anchored(Plain(model.head), head=model.head, network=model.network, l2=0.1, kl=0.5)
    whole = objective.loss(network, batch)
    parts = [objective.loss(network, Batch(batch.tokens_BT[at : at + 1], batch.weight_BT[at : at + 1], None, None, None, [[at]])) for at in range(3)]
    assert whole.count == sum(part.count for part in parts)
    assert whole.total.item() == pytest.approx(sum(part.total.item() for part in parts), rel=1e-4)
    plain = Plain(model.head).loss(network, batch)
    squared = sum(((one - other) ** 2).sum() for one, other in zip(network.parameters(), model.network.parameters())).item()
    kl = kl_to_reference(model.head, network, frozen_copy(model.network), batch).item()
    assert whole.total.item() == pytest.approx(plain.total.item() + 0.1 * whole.count * squared + 0.5 * kl, rel=1e-4)
    assert objective.own == "kept"


@pytest.mark.parametrize("terms", [{"l2": 0.5, "kl": 0.0}, {"l2": 0.0, "kl": 5.0}])
def test_each_term_holds_the_model_nearer(model, terms):
    def trained(l2, kl):
        network = copy.deepcopy(model.network).requires_grad_(True)
        objective = anchored(Plain(model.head), head=model.head, network=network, l2=l2, kl=kl)
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0)
        for step in range(20):
            loss = objective.loss(network, batch_of(model, step % 2))
            (loss.total / loss.count).backward()
            optimizer.step()
            optimizer.zero_grad()
        return network, kl_to_reference(model.head, network, frozen_copy(model.network), batch_of(model, 0)).item()

    start = {name: tensor.clone() for name, tensor in model.network.named_parameters()}
    free, free_kl = trained(0.0, 0.0)
    held, held_kl = trained(**terms)
    assert (distance(held, start) < 0.7 * distance(free, start)) if terms["l2"] else (held_kl < 0.7 * free_kl)


def test_without_strength_there_is_no_term(model, tiny_bert):
    objective = Plain(model.head)
    assert anchored(objective, head=model.head, network=model.network, l2=0.0, kl=0.0) is objective
    encoder = load(str(tiny_bert), head="sequence_class", labels=["a", "b"])
    with pytest.raises(RecipeError, match="predicts labels"):
        anchored(objective, head=encoder.head, network=encoder.network, l2=0.0, kl=1.0)


def test_answers_that_are_compared_are_not_held_to_the_base(model):
    """Pairs come in batches of another kind; a pull that silently read them as single answers would hold the wrong thing."""

    class Compared(Plain):
        def loss(self, network, batch):
            return Loss(torch.zeros((), requires_grad=True), 1.0, 1)

    objective = anchored(Compared(model.head), head=model.head, network=model.network, l2=0.0, kl=0.5)
    with pytest.raises(RecipeError, match="compares or rewards") as error:
        objective.loss(model.network, ("chosen", "rejected"))
    assert error.value.code == "R168" and "objective.beta" in error.value.hint


def test_between_two_networks(model):
    other = moved_copy(model.network)
    start, end = snapshot(model.network), snapshot(other)
    network = copy.deepcopy(model.network)
    between(network, start, end, 0.25)
    assert all(torch.allclose(tensor, 0.75 * start[name] + 0.25 * end[name]) for name, tensor in network.named_parameters())
    for share, wanted in ((1.0, end), (0.0, start)):
        between(network, start, end, share)
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in network.named_parameters())
    with pytest.raises(CheckpointError, match="no line"):
        between(network, start, {"other": torch.zeros(1)}, 0.5)
