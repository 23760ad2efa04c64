"""The recipes for tasks are recipes: every key is known, and every task has one."""
from pathlib import Path

import pytest

from luthier import settings
from luthier.tasks import TASKS
from luthier.verbs.recipe import Recipe

FILES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recipe_is_one(path):
    text = path.read_text()
    made = settings.build(Recipe, settings.parse_yaml(text))
    assert (made.data.train or made.data.sources) and text.startswith("# ") and len(text.splitlines()) <= 10


def test_every_task_has_one():
    named = {settings.build(Recipe, settings.parse_yaml(path.read_text())).task.name for path in FILES}
    assert named == set(TASKS)
