"""A task that is named beside a data file, by its name or by a setting that only one task has, is known before the columns are read."""
import pytest

from luthier.tasks import TASKS
from luthier.verbs import stages
from luthier.verbs.stages import asked_task


@pytest.mark.parametrize(("given", "name", "fields"), [
    (["task.many=true"], "classification", {"many": True}), (["task=classification", "task.many=true"], "classification", {"many": True}), ({"task": {"name": "classification", "many": True}}, "classification", {"many": True}),
    ({"task": "classification", "task.many": "true"}, "classification", {"many": True}), ({"task": "chat"}, "chat", {}), (["task.truth=x"], "chat", {"truth": "x"}),
    (["task=classification", "task.nonsense=1"], "classification", {"many": False}), (["model=spruce"], None, {}), (["task=none"], None, {}),
])  # fmt: skip
def test_what_is_named_beside_a_file(given, name, fields):
    found = asked_task(given)
    assert (found and found.name) == name and all(getattr(found, field) == value for field, value in fields.items())


def test_no_task_is_known_by_name(monkeypatch):
    """Whatever a task is called, it is found by its settings."""
    renamed = {"sorting" if name == "classification" else name: kind for name, kind in TASKS.items()}
    monkeypatch.setattr(stages, "TASKS", renamed)
    assert asked_task(["task.many=true"]).many and asked_task(["task=sorting", "task.many=true"]).many
