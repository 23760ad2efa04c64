"""Pretraining goes on from the weights that ship, takes both kinds of step, and continues where it stopped."""
import json
import sys

import pytest
import torch
from safetensors.torch import load_file

from luthier.training import checkpoint
from recipes.spruce import pretrain


def test_it_begins_with_the_weights_that_ship_and_continues_by_itself(tmp_path, monkeypatch):
    corpus, work, orders = tmp_path / "corpus", tmp_path / "work", []
    corpus.mkdir()
    for split, rows in (("train", 90), ("validation", 3)):
        told = [{"text": f"The maple box number {at} holds strings." + " It is full." * (at % 9), "source": "wikipedia"} for at in range(rows)]
        (corpus / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))

    class Seen(pretrain.Order):
        def __init__(self, *words, **more):
            super().__init__(*words, **more)
            orders.append(self.group_by_length)

    monkeypatch.setattr(pretrain, "Order", Seen)

    def call(*words) -> dict:
        monkeypatch.setattr(sys, "argv", ["pretrain", str(corpus), str(work), "--threads", "1", *words])
        pretrain.main()
        folder, state, _ = checkpoint.newest(work)
        return {"step": state.step, "weights": checkpoint.tensors_of(folder)[0]}

    start = ("--start", str(pretrain.SPRUCE), "--mixed", "--epochs", "1")
    still = call(*start, "--peak", "0")
    shipped = load_file(pretrain.SPRUCE / "model.safetensors")
    assert still["step"] == 3 and set(still["weights"]) == set(shipped) and all(torch.equal(tensor, shipped[name].float()) for name, tensor in still["weights"].items())
    assert orders[0] is False, "drawn by lot"
    with pytest.raises(SystemExit, match="began with mixed True"):
        call("--epochs", "2", "--peak", "1e-3")
    moved = call("--epochs", "2", "--peak", "1e-3", "--mixed")
    assert moved["step"] == 6 and not torch.equal(moved["weights"]["model.norm.weight"], still["weights"]["model.norm.weight"])
    rows = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6] and rows[1]["validation_loss"] < rows[0]["validation_loss"]
