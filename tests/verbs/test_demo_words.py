"""What the demonstration says of its answers is what they are."""
import json
from types import SimpleNamespace

import pytest

from luthier.verbs import demo


@pytest.mark.parametrize("tuned, excuse", [(0.13, True), (0.73, False)])
def test_the_base_is_excused_only_where_most_answers_are_wrong(tuned, excuse, tmp_path, monkeypatch):
    shares = {"nearest": 0.0, "tuned": tuned}
    (tmp_path / "results.json").write_text(json.dumps({"contestants": {who: {"metrics": {"correct": {"value": share}}} for who, share in shares.items()}}))
    monkeypatch.setattr(demo.runs, "find", lambda name: SimpleNamespace(evaluation_folder=tmp_path))
    told = demo.exactly_right("demo")
    assert f"nearest 0%, tuned {tuned:.0%}" in told and ("learns the sentences sooner" in told) is excuse
