"""Which learning rate an objective takes of what its method would."""
import re
from pathlib import Path
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


def table() -> dict[str, list[str]]:
    """The rates that the documents promise, by method: below 20 M weights, below 300 M, larger."""
    lines = (Path(__file__).resolve().parents[2] / "docs" / "methods.md").read_text(encoding="utf-8").split("| method | below 20 M weights |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rates[:3] for names, *rates in cells for name in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_methods_rates_are_those_of_the_documents(method):
    promised = table()[method]
    for rate, parameters in zip(promised, (19e6, 299e6, 1e9), strict=True):
        assert METHODS[method]().default_learning_rate(int(parameters))[0] == float(rate.split(",")[0])
    if later := re.search(r"from (\d+) B (\S+)", promised[2]):
        assert METHODS[method]().default_learning_rate(int(later[1]) * 10**9)[0] == float(later[2])
