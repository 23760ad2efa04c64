"""The starting model stays what it was: frozen in a copy where every weight moves, the base with its additions off where they alone do."""
import contextlib
from types import SimpleNamespace

import torch

from luthier.objectives.materials import starting_model


def test_it_stays_while_every_weight_moves():
    network, ones = torch.nn.Linear(3, 1), torch.ones(1, 3)
    reference = starting_model(SimpleNamespace(base_is_frozen=False), SimpleNamespace(network=network))
    before = network(ones).item()
    with reference() as start:
        assert start is network, "no second copy is made before the weights move"
    with reference(ahead=True):
        pass
    torch.nn.init.constant_(network.weight, 9.0)
    with reference() as start:
        assert start(ones).item() == before != network(ones).item() and not any(parameter.requires_grad for parameter in start.parameters())


def test_an_adapter_is_off_for_as_long_as_it_is_asked():
    network = torch.nn.Linear(3, 1)
    network.adapter_on = True

    @contextlib.contextmanager
    def disabled(given):
        given.adapter_on = False
        yield
        given.adapter_on = True

    reference = starting_model(SimpleNamespace(base_is_frozen=True, disabled=disabled), SimpleNamespace(network=network))
    with reference(ahead=True) as start:
        assert start is network and not network.adapter_on
    assert network.adapter_on
