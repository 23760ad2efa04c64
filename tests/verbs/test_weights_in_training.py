"""Training heeds row weights: of two labels that stand on like rows, the heavier one is learned, by a decoder's tokens and by an encoder's rows."""
import json

import pytest
import torch

import luthier

QUICK = {"training.threads": 1, "training.precision": "fp32", "training.epochs": 3, "training.learning_rate": 1e-2, "evaluation.resamples": 200, "evaluation.contestants": ["majority", "tuned"], "training.validation_rows": 10}


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_the_heavier_label_is_learned(base, tiny_bert, here, kind):
    torch.set_num_threads(1)
    rows = [{"text": f"the harp number {at} is here", "label": ("left", "right")[at % 2], "left_weight": (8.0, 0.02)[at % 2], "right_weight": (0.02, 8.0)[at % 2]} for at in range(160)]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {}
    for heavy in ("left", "right"):
        words = {"model": str(base if kind == "decoder" else tiny_bert), "task": "classification", "method": "full", "data.row_weight": f"{heavy}_weight", **QUICK}
        luthier.train("rows.jsonl", words, name=heavy)
        found[heavy] = {answer["label"] for answer in luthier.predict(heavy, "the harp number 999 is here").to_dict()["answers"]}
    assert found == {"left": {"left"}, "right": {"right"}}
