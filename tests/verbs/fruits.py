"""What two runs must have in common where they are the same run: final weights, optimizer, and the log but for seconds and rates."""
import json

import torch
from safetensors.torch import load_file

from luthier.runs.folder import Run
from luthier.verbs.training import COLUMNS


def fruit(run: Run) -> dict:
    """What must be the same: final weights, optimizer, and the log but for seconds and rates."""
    last = run.path / json.loads((run.path / "last.json").read_text())["checkpoint"]
    tensors = {**load_file(last / "weights.safetensors"), **load_file(last / "optimizer.safetensors")}
    log = [{key: value for key, value in row.items() if key not in COLUMNS} for row in run.rows("metrics.jsonl")]
    return {"tensors": tensors, "log": log, "best": (run.path / "best.json").read_text()}


def assert_same(left: dict, right: dict) -> None:
    assert left["log"] == right["log"]
    assert set(left["tensors"]) == set(right["tensors"])
    assert all(torch.equal(tensor, right["tensors"][name]) for name, tensor in left["tensors"].items())
    assert left["best"] == right["best"]
