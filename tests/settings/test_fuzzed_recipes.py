"""Recipes under damage: read whole, or refused with an error of ours."""
import pytest
from fuzzing import fuzzed

from luthier.errors import LuthierError
from luthier.verbs import recipe as recipes

SEEDS = [
    b"model: spruce\ntask: chat\nmethod: {name: lora, rank: 8}\ndata:\n  train: chats.jsonl\n  validation: 0.1\ntraining:\n  epochs: 3\n  learning_rate: 1e-3\n",
    b"# a comment\nmodel: ./folder\ntask:\n  name: classification\n  many: true\nobjective: sft\ndata: {train: rows.csv, map: {text: body, label: topic}, labels: [a, b]}\nseed: 5\n",
]


@pytest.mark.parametrize("count", [150, pytest.param(100_000, marks=pytest.mark.nightly)])
def test_recipes_under_damage(count, tmp_path, record_property):
    found = fuzzed(lambda path: recipes.load(str(path), ()), SEEDS, count, tmp_path, suffix=".yaml", allowed=(LuthierError,))
    record_property("figure", ("C-20", "damaged recipes", f"{count:,}: 0 crashes, slowest {1000 * found['slowest']:.0f} ms, {found['grown_mib']:.0f} MiB grown"))
    assert found["answered"] < count
