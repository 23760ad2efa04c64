"""Verbs that load, plan, learn, ask or read a run, each as the first thing that a process does: what one verb leaves in memory must not be what lets another one work."""
import subprocess
import sys

import pytest

import luthier

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4, "training.epochs": 1, "method": "lora", "evaluation.contestants": ["majority", "tuned"]}


@pytest.fixture(scope="module")
def shop(base, tmp_path_factory):
    """A folder with a recipe, its rows and a run."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("LUTHIER_RUNS", raising=False)
        rows = [f"the {colour} thing number {number} please,{colour}" for number in range(20) for colour in ("red", "green", "blue")]
        (folder / "tickets.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
        luthier.init("tickets.csv")
        luthier.train(None, {"model": str(base), **QUICK}, name="first")
    return folder


@pytest.mark.parametrize("words", [
    ["check"], ["plan"], ["plan", "method=qlora"], ["lr", "--steps", "10"], ["train", "tickets.csv", "--name", "second"], ["predict", "first", "the red thing"], ["eval", "first"],
    ["export", "first", "--to", "merged"], ["examples", "first"], ["report", "first"], ["runs", "ls"], ["doctor"],
], ids=" ".join)  # fmt: skip
def test_a_verb_needs_no_other_before_it(base, shop, words, monkeypatch):
    monkeypatch.delenv("LUTHIER_RUNS", raising=False)
    named = [f"model={base}"] if words[0] in ("check", "plan", "lr", "train") else []  # the others find it in the run
    settings = named + ([f"{key}={value}" for key, value in QUICK.items() if not isinstance(value, list)] if words[0] == "train" else [])
    done = subprocess.run([sys.executable, "-m", "luthier", *words, *settings], cwd=shop, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1500:]
