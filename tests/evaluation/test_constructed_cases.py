"""The verdict names the true winner of worlds made so that it is known: prompt alone, retrieval alone, tuning alone, both, nothing."""
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from constructed_worlds import CONTESTANTS, KINDS, WINNERS, make_base, world

import luthier

RUNS = int(os.environ.get("LUTHIER_CONSTRUCTED_RUNS", "60"))
FIRST = int(os.environ.get("LUTHIER_CONSTRUCTED_FIRST", "0"))
"""The run to begin with: 60 runs take long, and can be done in parts."""
RECIPE = {
    "task": "chat", "method": "full", "training.epochs": 10, "training.batch_size": 16, "training.learning_rate": 2e-3, "training.threads": 1, "training.precision": "fp32",
    "training.early_stopping": 0, "training.validation_rows": 2, "evaluation.contestants": CONTESTANTS, "evaluation.shots": 3, "evaluation.shots_by": "random", "evaluation.instructions": ["be soft", "be loud"],
    "evaluation.max_new_tokens": 4, "retrieval.passages": 1, "retrieval.words": 8, "evaluation.resamples": 1000, "data.min_test_rows": 10,
}


@pytest.mark.nightly
def test_the_true_winner_is_named_in_95_percent_of_60_runs(tmp_path, monkeypatch, capsys):
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    base = Path(os.environ.get("LUTHIER_CONSTRUCTED_BASE") or tmp_path / "base")
    if not base.exists():
        make_base(base, steps=1500)
    right, named = 0, {kind: Counter() for kind in KINDS}
    for number in range(FIRST, RUNS):
        kind = KINDS[number % len(KINDS)]
        made = world(kind, number, tmp_path / f"world {number}")
        verdict = luthier.train(made.pop("data.train"), {"model": str(base), **RECIPE, **made, "seed": number}, name=f"run-{number}").verdict
        right += verdict["winner"] in WINNERS[kind]
        named[kind][verdict["winner"]] += 1
        with capsys.disabled():
            figures = ", ".join(f"{line['name']} {line['value']:.2f}" for line in verdict["contestants"])
            print(f"{number + 1:3} {kind:10} {verdict['winner']:10} {figures}", flush=True)
    with capsys.disabled():
        print(f"right in {right} of {RUNS - FIRST}; named: {named}")
    assert right >= 0.95 * (RUNS - FIRST)


