"""Which learning rate an objective takes of what its method would."""
from types import SimpleNamespace

import pytest

from luthier.methods import METHODS
from luthier.objectives import OBJECTIVES
from luthier.verbs.stages import default_rate


@pytest.mark.parametrize(("objective", "parameters", "share"), [("dpo", 600e6, 0.2), ("dpo", 7e6, 1.0), ("orpo", 600e6, 0.5), ("sft", 600e6, 1.0), ("grpo", 1e6, 1.0)])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_large_networks_take_a_part_and_small_ones_all(objective, parameters, share, method):
    recipe = SimpleNamespace(method=METHODS[method](), objective=OBJECTIVES[objective]())
    plain, reason = recipe.method.default_learning_rate(parameters)
    rate, why = default_rate(recipe, parameters)
    assert rate == pytest.approx(share * plain) and (why == reason) == (share == 1.0)
